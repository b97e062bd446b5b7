#pragma once

#include <cairn/store/ids.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace cairn::store {

/// What happens to an append when a limit in bytes or messages is reached.
enum class full_policy : std::uint8_t {
    /// The append is refused with store_full. For the limit of its topic it is not while the topic
    /// holds nothing, or a batch larger than the limit would be refused for ever.
    refuse = 0,
    drop_oldest = 1,  ///< the oldest messages go; it is never refused for the limit of its topic
};

/// When an append is confirmed.
enum class durability : std::uint8_t {
    flushed = 0,  ///< after the sync that holds it
    /// When it has its offset, before the sync that follows at once: the store or its host
    /// may die, or the disk be full, in between, and then the message is not there.
    written = 1,
};

/// How long messages are kept. 0 means no limit.
struct retention {
    std::chrono::milliseconds age_max{0};  ///< since they were stored
    /// As database::stats counts them. With drop_oldest the newest batch is kept whatever its size:
    /// the limit may be exceeded by one batch and by the marks behind it.
    std::uint64_t bytes_max = 0;
    std::uint64_t messages_max = 0;
    /// Goes when all groups have acked; kept while there is no group, or one that is damaged.
    bool until_acked = false;
    full_policy when_full = full_policy::drop_oldest;

    bool operator==(const retention&) const = default;
};

struct topic_config {
    store::retention retention{};
    durability confirm = durability::flushed;
    bool last_per_key = false;  ///< keep an index of the last message of each key

    bool operator==(const topic_config&) const = default;
};

/// Whether open looks at the file's trees before LMDB trusts them. Whatever is chosen, it does when
/// the file ends before its last page.
enum class check : std::uint8_t {
    none,         ///< opening takes the same time whatever is stored
    structure,    ///< every page of the trees, always: 0.2 to 0.5 s a GiB in the page cache
    after_crash,  ///< structure when it was not closed in good order, up to check_bytes_max, or of
                  ///< any size when that was so twice without a thousand commits in between
};

/// Threads: a value. All sizes in bytes.
struct options {
    /// Address space kept for the file; costs nothing until used. Less is taken when the system
    /// does not give so much. The file never grows beyond it.
    std::size_t map_bytes = std::size_t{1} << 40;
    /// What messages may take in all, of all topics; 0: what the map holds. Appends beyond it are
    /// refused, or drop the oldest. Never more than nine tenths of the map. Counted with them: the
    /// record of each key in topics with last_per_key, and of where each dead letter comes from.
    /// Beside it: what attempts_max, ended_runs_max and the other limits of topics, sources and
    /// groups let be. What the map holds bounds all of it.
    std::uint64_t quota_bytes = 0;
    full_policy when_full = full_policy::refuse;
    /// Age limit of every topic that has none or a longer one; 0: none.
    std::chrono::milliseconds age_max{0};
    /// Of all topics together; 0: no limit. A batch that has more is refused.
    std::uint64_t messages_max = 0;
    bool until_acked = false;  ///< retention::until_acked for every topic
    /// A file of this size stands ready to be given back when the disk is full, so that acks and
    /// trims go on. 0: none.
    std::size_t ballast_bytes = std::size_t{16} << 20;
    /// Reader objects at once; 1 to 4,096. A higher one from before holds until lock.mdb is gone.
    std::size_t readers_max = 512;
    std::uint32_t topics_max = 100'000;
    std::uint32_t sources_per_topic_max = 10'000;  ///< 1 or more; a source that was made stays
    std::uint32_t groups_per_topic_max = 1'000;    ///< 1 or more
    bool allow_network_filesystem = false;
    check on_open = check::after_crash;
};

/// Bytes of bodies in one commit at most; what does not fit is refused with limit_exceeded. Also
/// bytes that the commands of one transaction read or forget; what does not fit has one of its own.
inline constexpr std::size_t commit_bytes_max = std::size_t{192} << 20;
/// Marks of lost ranges in front of one message; store_full beyond it, until that message comes.
inline constexpr std::uint32_t marks_max = 16'384;
/// Size of a file up to which check::after_crash looks at it after a single crash: about a second.
inline constexpr std::uint64_t check_bytes_max = std::uint64_t{256} << 20;
/// Ranges of one ack, by offset or by position.
inline constexpr std::uint32_t ack_ranges_max = 65'536;
/// Messages that those of its ranges may span together that do not begin at the floor.
inline constexpr std::uint64_t ack_range_max = std::uint64_t{8} << 20;
/// Batches that one ack by position looks up: a tenth of a second.
inline constexpr std::uint32_t ack_batches_max = 65'536;
/// Messages of whose failed deliveries a group knows.
inline constexpr std::uint64_t attempts_max = 16'384;
/// Ended runs of a source whose end is known although nothing of them is stored any more. Older
/// ones are as if nothing had been stored of them.
inline constexpr std::uint32_t ended_runs_max = 1'024;
inline constexpr std::size_t group_name_bytes_max = 255;
inline constexpr std::size_t owner_bytes_max = 64;
inline constexpr std::size_t settings_bytes_max = 1'024;  ///< of a group, the caller's own

}  // namespace cairn::store
