#pragma once

#include <cairn/ids.hpp>
#include <cairn/protocol/work_credit.hpp>
#include <cairn/runtime/link.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::patterns {

/// One run of one source that a peer pushes from.
struct job_stream {
    runtime::link* link;
    std::string source;
    cairn::epoch epoch;
    protocol::work_credit_reader credit;
};

/// The runs that a puller has messages of, by the numbers that its job ids carry.
///
/// A number is not used again while 2^32 - 1 others were not, so an id that outlived its run names
/// nothing.
///
/// Owns:    its streams. Links are only referred to: end() comes before a link does.
/// Threads: loop.
/// Limits:  a run for each link and source, link_max of them a link; 2^32 - 1 in all.
class job_streams {
public:
    using number = std::uint32_t;

    /// `fresh` is the credit with which each begins.
    job_streams(std::size_t link_max, const protocol::work_credit_reader& fresh)
        : link_max_(link_max), fresh_(fresh) {}

    std::optional<number> find(const runtime::link& link, std::string_view source,
                               cairn::epoch epoch) const;
    /// A new one. Nothing when the link has as many as it may.
    /// Requires: none of that link and source.
    std::optional<number> open(runtime::link& link, std::string_view source, cairn::epoch epoch);
    /// The stream with that number; nullptr when it ended.
    job_stream* at(number which);
    std::map<number, job_stream>& all() noexcept { return streams_; }
    const std::map<number, job_stream>& all() const noexcept { return streams_; }

    /// Ends the run of that source, whatever its epoch; its number, if there was one.
    std::optional<number> end(const runtime::link& link, std::string_view source);
    /// Ends all of a link. Returns their numbers.
    std::vector<number> end(const runtime::link& link);

private:
    struct in_order {
        using is_transparent = void;
        template <typename A, typename B>
        bool operator()(const A& a, const B& b) const noexcept {
            if (a.first != b.first) return a.first < b.first;
            return std::string_view(a.second) < std::string_view(b.second);
        }
    };
    using key = std::pair<std::uint64_t, std::string>;  // link's number, source

    const std::size_t link_max_;
    const protocol::work_credit_reader fresh_;
    std::map<number, job_stream> streams_;
    std::map<key, number, in_order> by_source_;
    std::map<std::uint64_t, std::size_t> of_link_;
    number next_ = 0;
};

}  // namespace cairn::patterns
