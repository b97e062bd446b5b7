#pragma once

#include <cairn/runtime/endpoint.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

namespace cairn::runtime {

/// A question to the system's resolver, which may take as long as it likes: it is asked on a thread
/// of its own, and whoever asked looks for the answer when it has use for one.
///
/// Owns:    its half of the answer. The thread ends by itself, perhaps long after the object.
/// Threads: one at a time.
/// Fails:   never: with questions_max under way, or no further thread, the answer is that nothing
///          was found.
class name_lookup {
public:
    /// In the whole process.
    static constexpr std::size_t questions_max = 16;

    explicit name_lookup(const endpoint& where);

    /// The addresses that `where` has now, none when the resolver knows none; nothing while it is
    /// not done.
    std::optional<std::vector<endpoint>> answer() const;

private:
    struct question;
    std::shared_ptr<question> question_;  // shared with the thread
};

}  // namespace cairn::runtime
