#include "cairnd_fixture.hpp"
#include "support/rounds.hpp"

#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <cstdint>
#include <map>
#include <span>
#include <string>

// What a crowd of publishers may have in cairnd's memory while the disk hangs.
namespace {

using namespace cairn;
using namespace cairn::test;
using wire::kind;

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

std::string one_record(std::size_t bytes) {
    const std::string body(bytes, 'x');
    std::vector<std::byte> record(wire::record_bytes(0, body.size()));
    wire::write_record(record.data(), {}, std::as_bytes(std::span(body)));
    return {reinterpret_cast<const char*>(record.data()), record.size()};
}

/// The most memory that the process ever had, in bytes.
std::uint64_t peak_of(pid_t process) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
    return 0;
}

/// Many sources of one message each, as publishers would bring them: within credit, and again when
/// they are refused for now.
class crowd {
public:
    crowd(const std::string& endpoint, wire::channel sources, std::string body)
        : all_(sources), body_(std::move(body)), peer_(endpoint) {
        for (wire::channel c = 1; c <= sources; ++c) {
            const auto opened = peer_.open(c, "quakes", "s" + std::to_string(c), 7);
            if (!opened) throw std::runtime_error("a source was not opened");
            of_[c].granted = opened->granted;
        }
    }
    /// All that may, each when the store has taken the one before: libzmq reads ahead as well.
    bool send() {
        for (auto& [channel, one] : of_) {
            send(channel, one);
            if (!taken()) return false;
        }
        return true;
    }
    /// Goes on until all are confirmed.
    bool all_confirmed() {
        for (auto& [channel, one] : of_) send(channel, one);
        while (confirmed_ != all_) {
            const auto told = peer_.raw().hear_any({kind::confirm, kind::append_refused}, 30s);
            if (!told) return false;
            const wire::channel channel = note(*told);
            send(channel, of_[channel]);
        }
        return true;
    }
    std::size_t refused() const { return refused_; }
    std::size_t confirmed() const { return confirmed_; }

private:
    struct source {
        std::uint64_t granted = 0;
        std::uint64_t spent = 0;
        bool owes = true;  // it is not on its way, and not stored
        bool done = false;
    };

    bool taken() {
        peer_.raw().say(wire::ping{});
        for (;;) {
            const auto told =
                peer_.raw().hear_any({kind::pong, kind::confirm, kind::append_refused}, 30s);
            if (!told) return false;
            if (std::holds_alternative<wire::pong>(*told)) return true;
            note(*told);
        }
    }
    void send(wire::channel channel, source& one) {
        if (!one.owes || one.spent >= one.granted) return;
        peer_.append(channel, 1, 1, body_);
        one.spent += body_.size() + wire::batch_charge_bytes;
        one.owes = false;
    }
    wire::channel note(const wire::control_frame& told) {
        if (const auto* no = std::get_if<wire::append_refused>(&told)) {
            EXPECT_EQ(no->code, errc::limit_exceeded);
            EXPECT_EQ(no->next, sequence{1});
            of_[no->channel].owes = true;
            ++refused_;
            return no->channel;
        }
        const auto& yes = std::get<wire::confirm>(told);
        source& one = of_[yes.channel];
        EXPECT_GE(yes.granted, one.granted);
        one.granted = yes.granted;
        if (yes.up_to == sequence{1} && !std::exchange(one.done, true)) ++confirmed_;
        return yes.channel;
    }

    const std::size_t all_;
    const std::string body_;
    party peer_;
    std::map<wire::channel, source> of_;
    std::size_t refused_ = 0;
    std::size_t confirmed_ = 0;
};

using CairndWithACrowd = CairndOnAHangingDisk;

TEST_F(CairndWithACrowd, HoldsNoMoreThanItsLimitAndStoresAllWhenTheDiskGoesOn) {
    start({"--limits-append-bytes-max", "8MiB", "--limits-append-window", "1MiB"}, variables());
    crowd publishers(endpoints_.front(), 200, one_record(mib));
    party stuck(endpoints_.front());
    get_stuck(stuck);
    const std::uint64_t before = peak_of(running_->pid());
    ASSERT_TRUE(publishers.send());
    // What is under way, a batch that is looked at, and what allocators keep. A sanitizer keeps
    // what was freed.
    if (!sanitized) {
        EXPECT_LE(peak_of(running_->pid()) - before, 8 * mib + 8 * mib);
    }
    EXPECT_GT(publishers.refused(), 150U);
    EXPECT_EQ(publishers.confirmed(), 0U);
    go_on();
    EXPECT_TRUE(publishers.all_confirmed()) << publishers.confirmed() << " of 200";
    EXPECT_TRUE(stuck.confirmed(10));
}

TEST_F(CairndWithACrowd, LetsWhoComesWhileThereIsNoRoomWaitWithoutARefusal) {
    start({"--limits-append-bytes-max", "4MiB", "--limits-append-window", "1MiB"}, variables());
    crowd first(endpoints_.front(), 16, one_record(mib));
    party stuck(endpoints_.front());
    get_stuck(stuck);
    ASSERT_TRUE(first.send());
    go_on();
    ASSERT_TRUE(first.all_confirmed());
    const std::size_t refused = first.refused();
    EXPECT_GT(refused, 0U) << "nobody knew how large their batches are";
    EXPECT_LE(refused, 16U) << "and each was let in when there was room";
}

}  // namespace
