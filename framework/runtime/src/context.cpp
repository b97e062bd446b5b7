#include <cairn/error.hpp>
#include <cairn/runtime/context.hpp>
#include <cairn/runtime/zap_handler.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include "unique_fd.hpp"

#include <pthread.h>
#include <sys/eventfd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace cairn::runtime {

namespace {

// libzmq ends the process when its threads cannot have their descriptors; this is what they, the
// ZAP handler and a first socket with its monitor take, and some more.
constexpr std::size_t descriptors_to_begin = 48;

constexpr int zmq_zero_copy_recv = 10;  // ZMQ_ZERO_COPY_RECV: only in zmq.h with drafts

/// Throws error (limit_exceeded) unless so many descriptors can be had now.
void require_descriptors(std::size_t count) {
    std::vector<unique_fd> opened;
    while (opened.size() != count) {
        unique_fd one(::eventfd(0, EFD_CLOEXEC));
        if (!one)
            throw error(errc::limit_exceeded,
                        "make a node: the first of a process needs " + std::to_string(count) +
                            " file descriptors, and no more than " + std::to_string(opened.size()) +
                            " can be had; raise the limit (ulimit -n), or close some");
        opened.push_back(std::move(one));
    }
}

struct registry {
    std::mutex mutex;
    std::weak_ptr<context> current;
};

// Never destroyed: nodes with static storage may end after it would have been.
registry& the_registry() {
    static registry& instance = *[] {
        auto* made = new registry;  // NOLINT(*-owning-memory)
        // A fork while another thread makes a context would leave the mutex locked in the child.
        pthread_atfork([] { the_registry().mutex.lock(); }, [] { the_registry().mutex.unlock(); },
                       [] { the_registry().mutex.unlock(); });
        return made;
    }();
    return instance;
}

}  // namespace

std::string refusal::text() const {
    std::string written = "connection from ";
    written += address.empty() ? "a local peer" : address;
    written += " refused: ";
    if (!public_key.empty()) written.append("key ").append(public_key).append(" ");
    return written.append(reason);
}

admission::admission(std::shared_ptr<context> owner, admission_policy policy, refusal_sink refused)
    : context_(std::move(owner)), domain_("cairn." + std::to_string(context::unique())) {
    context_->zap().add(domain_, std::move(policy), std::move(refused));
}

admission::~admission() {
    if (!context_->fork().forked()) context_->zap().remove(domain_);
}

void admission::replace_policy(admission_policy policy) {
    context_->zap().replace(domain_, std::move(policy));
}

std::shared_ptr<context> context::shared() {
    registry& known = the_registry();
    const std::lock_guard lock(known.mutex);
    std::shared_ptr<context> found = known.current.lock();
    if (found == nullptr || found->fork().forked()) {
        found = std::shared_ptr<context>(new context);  // NOLINT(*-owning-memory)
        known.current = found;
    }
    return found;
}

context::context() {
    if (zmq_has("curve") != 1)
        throw error(errc::not_supported,
                    "make a ZeroMQ context: libzmq was built without CURVE; install a libzmq with "
                    "libsodium");
    require_descriptors(descriptors_to_begin);
    context_ = std::make_unique<zmq::context_t>();
    context_->set(zmq::ctxopt::io_threads, io_threads);
    context_->set(zmq::ctxopt::max_sockets, sockets_max);
    // A block of its own for each received frame. By default one of less than 8 KiB is a view of
    // what it was read with, and holds 18 KiB while it waits (note 0017). So it stays where libzmq
    // does not know the option: no error.
    static_cast<void>(zmq_ctx_set(context_->handle(), zmq_zero_copy_recv, 0));
    zap_ = std::make_unique<zap_handler>(*context_);
}

context::~context() {
    if (fork_.forked()) {
        // The parent's threads do not exist here; joining or closing would wait for them for ever.
        static_cast<void>(zap_.release());
        static_cast<void>(context_.release());
        return;
    }
    context_->shutdown();
    zap_.reset();
    context_->close();
}

std::uint64_t context::unique() noexcept {
    static std::atomic<std::uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace cairn::runtime
