#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>

#include <gtest/gtest.h>
#include <support/random_frames.hpp>
#include <support/rounds.hpp>

#include <algorithm>
#include <string>

#include "bytes.hpp"

namespace cairn::wire {
namespace {

using test::bytes;
using test::bytes_of;
using test::encoded;
using test::random_frames;
using test::operator+;

constexpr std::uint64_t frames_seed = 20'240'612;

/// A frame of that kind with an item that is a text of `size` bytes, and how the decoder likes it.
template <typename F>
errc decoded_with(std::string_view F::*member, std::size_t size) {
    const std::string longer(size, 'x');
    // The encoder refuses texts above the limit, so a legal one is stretched in its bytes.
    const std::string marker = "marker";
    random_frames random(frames_seed);
    F frame{};
    for (std::size_t i = 0; i < random_frames::control_kinds; ++i)
        if (const control_frame made = random.control(i); std::holds_alternative<F>(made))
            frame = std::get<F>(made);
    if constexpr (requires { frame.ranges; }) frame.ranges.clear();
    if constexpr (requires { frame.resume; }) frame.resume.clear();
    frame.*member = marker;
    bytes frame_bytes = encoded(control_frame(frame));
    const bytes short_form = bytes_of({0xa0 + 6}) + bytes_of(marker);
    const auto at =
        std::search(frame_bytes.begin(), frame_bytes.end(), short_form.begin(), short_form.end());
    const bytes after(at + static_cast<std::ptrdiff_t>(short_form.size()), frame_bytes.end());
    frame_bytes.erase(at, frame_bytes.end());
    const bytes long_form =
        bytes_of({0xda, static_cast<int>(size >> 8), static_cast<int>(size & 0xff)}) +
        bytes_of(longer);
    return decode(frame_bytes + long_form + after).error();
}

template <typename F>
void expect_limit(std::string_view F::*member, std::size_t max) {
    EXPECT_EQ(decoded_with(member, max), errc::ok);
    EXPECT_EQ(decoded_with(member, max + 1), errc::too_large);
}

template <typename F>
void expect_not_empty(std::string_view F::*member) {
    EXPECT_EQ(decoded_with(member, 1), errc::ok);
    EXPECT_EQ(decoded_with(member, 0), errc::malformed);
}

TEST(Frame, OfEveryKindComesBackAsItWasSent) {
    SCOPED_TRACE(testing::Message() << "frames_seed " << frames_seed);
    random_frames random(frames_seed);
    for (std::size_t round = 0; round < test::rounds(300); ++round) {
        for (std::size_t i = 0; i < random_frames::control_kinds; ++i) {
            const control_frame sent = random.control(i);
            const bytes once = encoded(sent);
            ASSERT_LE(once.size(), control_bytes_max);
            const result<control_frame> received = decode(once);
            ASSERT_EQ(received.error(), errc::ok) << "kind " << i << " round " << round;
            ASSERT_EQ(*received, sent) << "kind " << i << " round " << round;
        }
    }
}

TEST(Frame, TellsItsKindFromItsFirstBytes) {
    random_frames random(frames_seed);
    for (std::size_t i = 0; i < random_frames::control_kinds; ++i) {
        const bytes frame = encoded(random.control(i));
        const result<kind> whole = peek_kind(frame);
        ASSERT_TRUE(whole);
        EXPECT_EQ(static_cast<int>(*whole), static_cast<int>(frame[1]));
    }
    EXPECT_EQ(*peek_kind(encoded(random.batch())), kind::batch);
    EXPECT_EQ(*peek_kind(encoded(random.jobs())), kind::jobs);
    EXPECT_EQ(*peek_kind(encoded(random.append())), kind::append);
}

TEST(Frame, CutShortAnywhereIsMalformed) {
    random_frames random(frames_seed);
    for (std::size_t i = 0; i < random_frames::control_kinds; ++i) {
        const bytes whole = encoded(random.control(i));
        for (std::size_t size = 0; size < whole.size(); ++size) {
            // An own copy, so that the sanitizer sees a read of one byte too many.
            const bytes cut(whole.begin(), whole.begin() + size);
            ASSERT_EQ(decode(cut).error(), errc::malformed) << "kind " << i << " cut to " << size;
        }
    }
}

TEST(Frame, WithBytesAfterItsEndIsMalformed) {
    random_frames random(frames_seed);
    for (std::size_t i = 0; i < random_frames::control_kinds; ++i)
        EXPECT_EQ(decode(encoded(random.control(i)) + bytes_of({0})).error(), errc::malformed);
}

TEST(Frame, WithItemsOfANewerVersionIsReadWithoutThem) {
    random_frames random(frames_seed);
    const bytes appended = bytes_of({0x81, 0xa1, 'x', 0x92, 0xc0, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0});
    for (std::size_t i = 0; i < random_frames::control_kinds; ++i) {
        const control_frame sent = random.control(i);
        bytes frame = encoded(sent) + appended;
        frame[0] = static_cast<std::byte>(static_cast<int>(frame[0]) + 1);
        const result<control_frame> received = decode(frame);
        ASSERT_EQ(received.error(), errc::ok) << "kind " << i;
        EXPECT_EQ(*received, sent) << "kind " << i;
    }
}

TEST(Frame, WithAppendedItemsInANestedListIsReadWithoutThem) {
    const bytes frame = bytes_of({0x95, 33, 1, 0xa1, 's', 7, 0x91, 0x93, 1, 9, 0xc0});
    const result<control_frame> received = decode(frame);
    ASSERT_EQ(received.error(), errc::ok);
    ack expected;
    expected.channel = 1;
    expected.source = "s";
    expected.epoch = {7};
    expected.ranges = {{{1}, {9}}};
    EXPECT_EQ(std::get<ack>(*received), expected);
}

TEST(Frame, WithAnAppendedItemThatIsTooDeepIsRefused) {
    const auto heartbeat_with = [](std::size_t depth) {
        return bytes_of({0x92, 3}) + bytes(depth - 1, std::byte{0x91}) + bytes_of({0x90});
    };
    EXPECT_EQ(decode(heartbeat_with(depth_max - 1)).error(), errc::ok);
    EXPECT_EQ(decode(heartbeat_with(depth_max)).error(), errc::limit_exceeded);
}

TEST(Frame, OfAnUnknownKindIsSaidToBeUnknown) {
    for (const bytes& frame : {bytes_of({0x91, 0}), bytes_of({0x91, 7}), bytes_of({0x91, 49}),
                               bytes_of({0x91, 78}), bytes_of({0x91, 0xcd, 1, 14})}) {
        EXPECT_EQ(peek_kind(frame).error(), errc::unknown_kind);
        EXPECT_EQ(decode(frame).error(), errc::unknown_kind);
    }
}

TEST(Frame, WithoutAKindIsMalformed) {
    for (const bytes& frame : {bytes{}, bytes_of({0x90}), bytes_of({0x91, 0xa0}),
                               bytes_of({0x91, 0xff}), bytes_of({0x03}), bytes_of({0x81, 3, 3})}) {
        EXPECT_EQ(peek_kind(frame).error(), errc::malformed);
        EXPECT_EQ(decode(frame).error(), errc::malformed);
    }
}

TEST(Frame, OfABatchIsNoControlFrame) {
    random_frames random(frames_seed);
    EXPECT_EQ(decode(encoded(random.batch())).error(), errc::malformed);
    EXPECT_EQ(decode(encoded(random.jobs())).error(), errc::malformed);
    EXPECT_EQ(decode(encoded(random.append())).error(), errc::malformed);
}

TEST(Frame, OfTheLargestSizeIsReadAndNotAByteMore) {
    const auto heartbeat_of = [](std::size_t size) {
        const std::size_t rest = size - 5;
        return bytes_of(
                   {0x92, 3, 0xc5, static_cast<int>(rest >> 8), static_cast<int>(rest & 0xff)}) +
               bytes(rest, std::byte{0});
    };
    EXPECT_EQ(decode(heartbeat_of(control_bytes_max)).error(), errc::ok);
    EXPECT_EQ(decode(heartbeat_of(control_bytes_max + 1)).error(), errc::too_large);
}

TEST(Frame, HoldsNamesUpToTheirLimits) {
    expect_limit(&subscribe::pattern, topic_bytes_max);
    expect_limit(&attach::topic, topic_bytes_max);
    expect_limit(&gone::topic, topic_bytes_max);
    expect_limit(&gone::source, source_bytes_max);
    expect_limit(&fenced::topic, topic_bytes_max);
    expect_limit(&fenced::source, source_bytes_max);
    expect_limit(&end::topic, topic_bytes_max);
    expect_limit(&end::source, source_bytes_max);
    expect_limit(&hello::node_name, name_bytes_max);
    expect_limit(&attach::member, name_bytes_max);
    expect_limit(&open_source::topic, topic_bytes_max);
    expect_limit(&open_source::source, source_bytes_max);
    expect_limit(&locate::topic, topic_bytes_max);
    expect_limit(&attach_group::topic, topic_bytes_max);
    expect_limit(&attach_group::group, group_bytes_max);
    expect_limit(&attach_group::member, name_bytes_max);
    expect_limit<ack>(&ack::source, source_bytes_max);
    expect_limit<nack>(&nack::source, source_bytes_max);
}

TEST(Frame, HoldsTextsUpToTheirLimit) {
    expect_limit(&bye::text, text_bytes_max);
    expect_limit(&error_reply::text, text_bytes_max);
    expect_limit(&reject::reason, text_bytes_max);
}

TEST(Frame, HasTopicsPatternsAndSourcesThatAreNotEmpty) {
    expect_not_empty(&subscribe::pattern);
    expect_not_empty(&attach::topic);
    expect_not_empty(&end::topic);
    expect_not_empty(&end::source);
    expect_not_empty(&open_source::source);
    expect_not_empty(&locate::topic);
    expect_not_empty(&attach_group::group);
    expect_not_empty<release>(&release::source);
}

TEST(Frame, HoldsListsUpToTheirLimit) {
    ack frame;
    frame.source = "s";
    frame.ranges.assign(array_items_max, {{1}, {1}});
    bytes most = encoded(control_frame(frame));
    ASSERT_EQ(decode(most).error(), errc::ok);

    bytes more = most + bytes_of({0x92, 1, 1});
    const bytes count = bytes_of({0xdc, array_items_max >> 8, array_items_max & 0xff});
    const auto at = std::search(more.begin(), more.end(), count.begin(), count.end());
    at[2] = std::byte{1};
    EXPECT_EQ(decode(more).error(), errc::limit_exceeded);
}

TEST(Frame, RefusesARangeThatIsEmptyOrBeginsAtZero) {
    const auto ack_of = [](int first, int last) {
        return decode(bytes_of({0x95, 33, 1, 0xa1, 's', 7, 0x91, 0x92, first, last})).error();
    };
    EXPECT_EQ(ack_of(1, 1), errc::ok);
    EXPECT_EQ(ack_of(2, 1), errc::malformed);
    EXPECT_EQ(ack_of(0, 1), errc::malformed);
}

TEST(Frame, RefusesARangeThatReachesTheLastNumber) {
    ack frame;
    frame.source = "s";
    frame.ranges = {{{1}, {std::numeric_limits<std::uint64_t>::max() - 1}}};
    EXPECT_EQ(decode(encoded(control_frame(frame))).error(), errc::ok);
    frame.ranges = {{{1}, {std::numeric_limits<std::uint64_t>::max()}}};
    EXPECT_EQ(decode(encoded(control_frame(frame))).error(), errc::malformed);
}

TEST(Frame, RefusesAStartThatItDoesNotKnow) {
    const auto subscribe_from = [](int from) {
        return decode(bytes_of({0x97, 10, 1, 0xa1, '*', from, 9, 0xc2, 0x90})).error();
    };
    EXPECT_EQ(subscribe_from(static_cast<int>(start::earliest)), errc::ok);
    EXPECT_EQ(subscribe_from(static_cast<int>(start::earliest) + 1), errc::malformed);
}

TEST(Frame, RefusesAPlaceOrALevelThatItDoesNotKnow) {
    const auto locate_from = [](int from) {
        return decode(bytes_of({0x95, 57, 1, 0xa1, 't', from, 9})).error();
    };
    const auto confirmed = [](int level) {
        return decode(bytes_of({0x95, 53, 1, 9, level, 9})).error();
    };
    EXPECT_EQ(locate_from(static_cast<int>(place::time)), errc::ok);
    EXPECT_EQ(locate_from(static_cast<int>(place::time) + 1), errc::malformed);
    EXPECT_EQ(confirmed(static_cast<int>(durability::written)), errc::ok);
    EXPECT_EQ(confirmed(static_cast<int>(durability::written) + 1), errc::malformed);
}

TEST(Frame, RefusesAnEmptyRangeInALossOrInWhatAGroupHasDone) {
    const auto lost_of = [](int first, int last) {
        return decode(bytes_of({0x94, 55, 1, 0x92, first, last, 1})).error();
    };
    const auto done_of = [](int first, int last) {
        const bytes id = bytes_of({0xc4, 16}) + bytes(16, std::byte{7});
        const bytes done = bytes_of({0x90, 0x91, 0x93, 0xa1, 's', 7, 0x92, first, last});
        return decode(bytes_of({0x98, 60, 1}) + id + bytes_of({0xc3, 0xc2}) + done + id).error();
    };
    EXPECT_EQ(lost_of(3, 3), errc::ok);
    EXPECT_EQ(lost_of(3, 2), errc::malformed);
    EXPECT_EQ(done_of(3, 3), errc::ok);
    EXPECT_EQ(done_of(0, 3), errc::malformed);
}

TEST(Frame, CarriesErrorNumbersOfNewerVersions) {
    const bytes frame = bytes_of({0x93, 2, 0xcd, 0xff, 0xff, 0xa0});
    const result<control_frame> received = decode(frame);
    ASSERT_EQ(received.error(), errc::ok);
    EXPECT_EQ(static_cast<int>(std::get<bye>(*received).reason), 0xffff);
}

TEST(Frame, RefusesANodeIdOfAnotherLength) {
    const auto hello_with_id = [](int size) {
        const bytes frame = bytes_of({0x97, 1, 1, 1, 0xc4, size}) + bytes(size, std::byte{9}) +
                            bytes_of({0xa0, 0, 0xc2});
        return decode(frame).error();
    };
    EXPECT_EQ(hello_with_id(16), errc::ok);
    EXPECT_EQ(hello_with_id(15), errc::malformed);
    EXPECT_NE(hello_with_id(17), errc::ok);
}

TEST(Frame, IsAppendedToWhatTheBufferHolds) {
    bytes out = bytes_of({1, 2, 3});
    encode(control_frame(heartbeat{}), out);
    EXPECT_EQ(out, bytes_of({1, 2, 3, 0x91, 3}));
}

}  // namespace
}  // namespace cairn::wire
