#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>

#include <gtest/gtest.h>
#include <support/random_frames.hpp>
#include <support/rounds.hpp>

#include "bytes.hpp"

namespace cairn::wire {
namespace {

using test::bytes;
using test::bytes_of;
using test::encoded;
using test::random_frames;
using test::operator+;

constexpr std::uint64_t batch_seed = 20'240'613;

batch_header small_batch() {
    batch_header h;
    h.channel = 5;
    h.topic = "quakes";
    h.source = "usgs";
    h.epoch = {3};
    h.first = {7};
    h.count = 2;
    return h;
}

errc decoded(const batch_header& h) { return decode_batch(encoded(h)).error(); }

TEST(BatchHeader, ComesBackAsItWasSent) {
    SCOPED_TRACE(testing::Message() << "batch_seed " << batch_seed);
    random_frames random(batch_seed);
    for (std::size_t round = 0; round < test::rounds(3'000); ++round) {
        const batch_header sent = random.batch();
        const bytes frame = encoded(sent);
        const auto received = decode_batch(frame);
        ASSERT_EQ(received.error(), errc::ok) << round;
        ASSERT_EQ(received->header, sent) << round;
        ASSERT_EQ(received->bytes, frame.size()) << round;
    }
}

TEST(JobsHeader, ComesBackAsItWasSent) {
    SCOPED_TRACE(testing::Message() << "batch_seed " << batch_seed);
    random_frames random(batch_seed);
    for (std::size_t round = 0; round < test::rounds(3'000); ++round) {
        const jobs_header sent = random.jobs();
        const auto received = decode_jobs(encoded(sent));
        ASSERT_EQ(received.error(), errc::ok) << round;
        ASSERT_EQ(received->header.attempt, sent.attempt) << round;
        ASSERT_EQ(received->header.ack_wait_ms, sent.ack_wait_ms) << round;
        ASSERT_EQ(received->header.checksum, sent.checksum) << round;
    }
}

TEST(AppendHeader, ComesBackAsItWasSent) {
    SCOPED_TRACE(testing::Message() << "batch_seed " << batch_seed);
    random_frames random(batch_seed);
    for (std::size_t round = 0; round < test::rounds(3'000); ++round) {
        const append_header sent = random.append();
        const bytes frame = encoded(sent);
        const auto received = decode_append(frame);
        ASSERT_EQ(received.error(), errc::ok) << round;
        ASSERT_EQ(received->header, sent) << round;
    }
}

TEST(AppendHeader, IsThatOfTheBatchWithAnotherKindAndChannel) {
    random_frames random(batch_seed);
    for (std::size_t round = 0; round < 1'000; ++round) {
        const append_header sent = random.append();
        batch_header to_readers = sent;
        to_readers.channel = 1;
        bytes frame = encoded(to_readers);
        EXPECT_EQ(decode_append(frame).error(), errc::malformed);
        patch_kind(frame, kind::append);
        patch_channel(frame, sent.channel);
        ASSERT_EQ(frame, encoded(sent));
    }
}

TEST(BatchHeader, SaysWhereTheBodyBegins) {
    const bytes header = encoded(small_batch());
    const auto received = decode_batch(header + bytes_of("body"));
    ASSERT_EQ(received.error(), errc::ok);
    EXPECT_EQ(received->bytes, header.size());
}

TEST(BatchHeader, KeepsItsChannelAtOnePlaceWhateverElseItSays) {
    random_frames random(batch_seed);
    for (std::size_t round = 0; round < 1'000; ++round) {
        const batch_header batch = random.batch();
        const jobs_header jobs = random.jobs();
        bytes batch_frame = encoded(batch);
        bytes jobs_frame = encoded(jobs);
        patch_channel(batch_frame, 0x01020304);
        patch_channel(jobs_frame, 0x01020304);
        batch_header expected = batch;
        expected.channel = 0x01020304;
        ASSERT_EQ(decode_batch(batch_frame)->header, expected);
        ASSERT_EQ(decode_jobs(jobs_frame)->header.channel, 0x01020304u);
    }
}

TEST(BatchHeader, CutShortAnywhereIsMalformed) {
    random_frames random(batch_seed);
    for (const bytes& whole : {encoded(small_batch()), encoded(random.batch())})
        for (std::size_t size = 0; size < whole.size(); ++size)
            ASSERT_EQ(decode_batch(bytes(whole.begin(), whole.begin() + size)).error(),
                      errc::malformed)
                << "cut to " << size;
    const bytes whole = encoded(random.jobs());
    for (std::size_t size = 0; size < whole.size(); ++size)
        ASSERT_EQ(decode_jobs(bytes(whole.begin(), whole.begin() + size)).error(), errc::malformed)
            << "cut to " << size;
}

TEST(BatchHeader, HasOneMessageAtLeastAndTheLimitAtMost) {
    batch_header h = small_batch();
    h.count = 0;
    EXPECT_EQ(decoded(h), errc::malformed);
    h.count = 1;
    EXPECT_EQ(decoded(h), errc::ok);
    h.count = batch_messages_max;
    EXPECT_EQ(decoded(h), errc::ok);
    h.count = batch_messages_max + 1;
    EXPECT_EQ(decoded(h), errc::limit_exceeded);
}

TEST(BatchHeader, BeginsAtOneAtLeastAndEndsBeforeTheNumbersDo) {
    constexpr std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
    batch_header h = small_batch();
    h.first = {0};
    EXPECT_EQ(decoded(h), errc::malformed);
    h.count = 2;
    h.first = {max - 2};
    EXPECT_EQ(decoded(h), errc::ok);
    h.first = {max - 1};
    EXPECT_EQ(decoded(h), errc::malformed);
    h.first = {max};
    EXPECT_EQ(decoded(h), errc::malformed);
}

TEST(JobsHeader, CountsAttemptsFromOne) {
    random_frames random(batch_seed);
    jobs_header h = random.jobs();
    h.attempt = 1;
    EXPECT_EQ(decode_jobs(encoded(h)).error(), errc::ok);
    h.attempt = 0;
    EXPECT_EQ(decode_jobs(encoded(h)).error(), errc::malformed);
}

TEST(BatchHeader, WithLongestNamesAndNumbersFitsItsLimit) {
    const std::string name(topic_bytes_max, 'x');
    constexpr std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
    jobs_header h;
    h.topic = name;
    h.source = name;
    h.epoch = {max};
    h.first = {max - batch_messages_max};
    h.count = batch_messages_max;
    h.time = wall_time::min();
    h.durable = h.checksum = h.ack_wait_ms = max;
    h.attempt = std::numeric_limits<std::uint32_t>::max();
    const bytes frame = encoded(h);
    EXPECT_LE(frame.size(), header_bytes_max);
    EXPECT_EQ(decode_jobs(frame).error(), errc::ok);
}

TEST(BatchHeader, OfTheOtherKindIsMalformed) {
    random_frames random(batch_seed);
    EXPECT_EQ(decode_batch(encoded(random.jobs())).error(), errc::malformed);
    EXPECT_EQ(decode_jobs(encoded(random.batch())).error(), errc::malformed);
}

TEST(BatchHeader, WithItemsOfANewerVersionIsReadWithoutThem) {
    bytes frame = encoded(small_batch());
    const std::size_t end_of_known = frame.size();
    frame = frame + bytes_of({0x81, 1, 2}) + bytes_of("body");
    frame[0] = std::byte{0x90 + 11};
    const auto received = decode_batch(frame);
    ASSERT_EQ(received.error(), errc::ok);
    EXPECT_EQ(received->header, small_batch());
    EXPECT_EQ(received->bytes, end_of_known + 3);
}

// Test vectors of XXH3-64, batch_seed 0, from the reference implementation.
TEST(Checksum, IsXxh3) {
    EXPECT_EQ(checksum({}), 0x2d06800538d394c2u);
    EXPECT_EQ(checksum(bytes_of("a")), 0xe6c632b61e964e1fu);
    EXPECT_EQ(checksum(bytes_of("abc")), 0x78af5f94892f3950u);
}

TEST(StreamDigest, HashesNamesAndNumbersAsTheProtocolSays) {
    const bytes expected = bytes_of({'t', 0, 's', 0, 2, 1, 0, 0, 0, 0, 0, 0,  //
                                     4,   3, 0,   0, 0, 0, 0, 0});
    EXPECT_EQ(stream_digest("t", "s", {0x0102}, {0x0304}), checksum(expected));
}

TEST(StreamDigest, TellsApartNamesThatJoinAlike) {
    EXPECT_NE(stream_digest("ab", "c", {1}, {1}), stream_digest("a", "bc", {1}, {1}));
}

}  // namespace
}  // namespace cairn::wire
