#pragma once

#include <cairn/store/committer.hpp>
#include <cairn/store/database.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

/// Four producers that share a committer and its topics: one whose messages go when all groups have
/// acked them, one that keeps its newest messages, and one at durability::written that keeps so
/// many bytes. Which command meets which in a transaction is chance, so what they did is not
/// compared with a model but with what each was told.
namespace cairn::test::producers {

inline constexpr std::size_t count = 4;
enum topic : std::size_t { orders, newest, ticks, topics };

/// What a producer asks for.
struct deed {
    enum class kind : char { append = 'a', ack = 'k', letter = 'l' };
    kind what = kind::append;
    std::size_t topic = 0;
    std::uint64_t first = 0;  ///< append: sequence; else the offset
    std::uint64_t last = 0;
    // The answer.
    std::uint64_t confirmed = 0;  ///< number of the confirm among all of them; 0: none yet
    std::uint64_t at = 0;         ///< append: offset of the first message
    bool gone = false;            ///< letter: its message was dropped before
};

/// What each producer asked for, in its order.
struct ledger {
    std::array<std::vector<deed>, count> deeds;
    std::uint64_t confirms = 0;

    void confirm(std::size_t producer, std::size_t number, std::uint64_t at, bool gone);
};

/// Gets told what goes on. Threads: asked() on the producer's, the others on the committer's.
class witness {
public:
    virtual void asked(std::size_t producer, const deed& what) = 0;
    /// The store confirmed: for a topic at durability::written not before its sync.
    virtual void confirmed(std::size_t producer, std::size_t number, std::uint64_t at,
                           bool gone) = 0;
    /// It answered what it must not.
    virtual void wronged(const std::string& how) = 0;

protected:
    ~witness() = default;
};

/// Makes topics, sources and groups, as far as they are not there.
void prepare(store::database& db);

/// Lets all producers go on from where the database is, `deeds_max` commands each.
/// Requires: prepare().
void produce(store::database& db, std::uint64_t seed, std::size_t deeds_max, witness& told);

/// What a database holds of all that, and what it must hold.
struct holding {
    struct one_topic {
        std::uint64_t first = 1;
        std::uint64_t end = 1;
        std::uint64_t bytes = 0;
        std::map<std::uint64_t, std::pair<std::size_t, std::uint64_t>>
            messages;  // source, sequence
        std::array<std::uint64_t, count> last{};
        std::map<std::size_t, std::set<std::uint64_t>> open;  // by group: stored and not acked
    };
    std::array<one_topic, topics> in;
    std::set<std::pair<std::size_t, std::uint64_t>> letters;  // producer, message
};

/// Reads all of it; what is wrong whoever asked for what: a message that nobody sent, half a batch,
/// an offset twice or not at all, a limit that was passed or more dropped than it needs.
std::optional<std::string> observe(const store::database& db, holding& now);

/// Whether it follows from what was there before and from what was asked since: all of the first
/// `confirms` is there, what else is there was asked for, nothing is there by half, and with a
/// command all that its producer asked for earlier.
std::optional<std::string> compare(const holding& before, const holding& now, const ledger& since,
                                   std::uint64_t confirms);

}  // namespace cairn::test::producers
