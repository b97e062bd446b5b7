#include "harness/run.hpp"

#include "harness/traffic.hpp"

#include <unistd.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <thread>

namespace cairn::bench {

namespace {

using namespace std::chrono_literals;

constexpr auto start_patience = 20s;
constexpr auto look_again = 1ms;
constexpr std::string_view bound_prefix = "bound ";

// The last is the service's.
std::size_t lanes_for(const bench::traffic& traffic) { return traffic.peers + traffic.threads + 1; }

// Abstract ipc names leave no file behind when a run is cut off.
std::string endpoint_for(const std::string& transport) {
    static unsigned runs = 0;
    const auto unique = std::to_string(::getpid()) + "-" + std::to_string(runs++);
    if (transport == "tcp") return "tcp://127.0.0.1:*";
    if (transport == "ipc") return "ipc://@cairn-bench-" + unique;
    return "inproc://bench";
}

std::string connector_role(const plan& wanted, std::size_t lane_index) {
    return wanted.connector + ":" + std::to_string(lane_index);
}

std::string wait_until_bound(child_process& child) {
    for (;;) {
        auto line = child.wait_for_line(start_patience);
        if (line.starts_with(bound_prefix)) return line.substr(bound_prefix.size());
    }
}

void run_role(const std::string& spec, role_finder find, role_context context) {
    const auto colon = spec.rfind(':');
    const auto role = find(std::string_view(spec).substr(0, colon));
    if (role == nullptr || colon == std::string::npos)
        throw std::runtime_error("no such role: " + spec);
    context.lane_index = std::stoul(spec.substr(colon + 1));
    role(context);
}

}  // namespace

run::run(const plan& wanted) : traffic_(wanted.traffic), board_(lanes_for(wanted.traffic)) {
    role_options role;
    role.endpoint = endpoint_for(wanted.transport);
    role.traffic = wanted.traffic;
    role.lanes = board_.size();
    role.board_fd = board_.descriptor();
    if (!wanted.service.empty()) {
        role.roles = {wanted.service + ":" + std::to_string(board_.size() - 1)};
        service_.emplace(arguments_for(role), role.board_fd);
        role.traffic.service = wait_until_bound(*service_);
        role.endpoint = endpoint_for(wanted.transport);
    }
    role.roles = {wanted.binder + ":" + std::to_string(wanted.traffic.peers)};
    if (wanted.transport == "inproc") {
        for (std::size_t i = 0; i < wanted.traffic.peers; ++i)
            role.roles.push_back(connector_role(wanted, i));
        children_.emplace_back(arguments_for(role), role.board_fd);
        return;
    }
    children_.emplace_back(arguments_for(role), role.board_fd);
    role.endpoint = wait_until_bound(children_.front());
    for (std::size_t i = 0; i < wanted.traffic.peers; ++i) {
        role.roles = {connector_role(wanted, i)};
        children_.emplace_back(arguments_for(role), role.board_fd);
    }
}

// All at once: those still alive would notice each loss, and a hundred losses in turn take long.
run::~run() {
    if (service_) service_->kill();
    for (auto& child : children_) child.kill();
}

void run::wait_until_flowing(std::uint64_t messages) {
    const auto deadline = std::chrono::steady_clock::now() + start_patience;
    for (std::size_t i = 0; i < traffic_.peers; ++i) {
        while (connector_lane(i).messages.load() < messages) {
            check_alive();
            if (std::chrono::steady_clock::now() > deadline)
                throw std::runtime_error("no messages came within " +
                                         std::to_string(start_patience.count()) + " s");
            std::this_thread::sleep_for(look_again);
        }
    }
}

void run::let_pass(std::chrono::nanoseconds time) {
    std::this_thread::sleep_for(time);
    check_alive();
}

sample run::measure(std::chrono::nanoseconds window) {
    board_.set_phase(phase::measuring);
    const auto begin = now_ns();
    const auto received_before = received();
    const auto sent_before = sent();
    let_pass(window);
    // On a machine so busy that nothing of a flow came, the window goes on until something did.
    const auto deadline = std::chrono::steady_clock::now() + start_patience;
    while (received_before != 0 && received() == received_before &&
           std::chrono::steady_clock::now() < deadline)
        let_pass(look_again);
    const auto received_after = received();
    const auto sent_after = sent();
    const auto seconds = static_cast<double>(now_ns() - begin) * 1e-9;
    board_.set_phase(phase::done);

    sample result;
    result.messages_per_s = static_cast<double>(received_after - received_before) / seconds;
    result.sent_per_s = static_cast<double>(sent_after - sent_before) / seconds;
    const auto merged = std::make_unique<histogram>();
    for (std::size_t i = 0; i < board_.size(); ++i) {
        merged->add_all_of(board_.at(i).latency);
        result.gaps += board_.at(i).gaps.load();
    }
    result.latencies = merged->count();
    result.p50_us = merged->percentile(0.50) * 1e-3;
    result.p99_us = merged->percentile(0.99) * 1e-3;
    return result;
}

std::uint64_t run::received() {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < traffic_.peers; ++i) sum += board_.at(i).messages.load();
    return sum;
}

std::uint64_t run::sent() {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < traffic_.threads; ++i)
        sum += board_.at(traffic_.peers + i).messages.load();
    return sum;
}

void run::check_alive() {
    for (auto& child : children_) child.check_alive();
    if (service_) service_->check_alive();
}

int run_roles(const role_options& role, role_finder find) {
    const reporter report(role.report_fd);
    board shared(role.board_fd, role.lanes);
    const auto guarded = [&](const std::string& spec) {
        try {
            run_role(spec, find, {role.traffic, role.endpoint, 0, shared, report});
        } catch (const std::exception& failure) {
            report.line(std::string("error ") + failure.what());
            ::_exit(1);  // other roles of the process are in the middle of theirs
        }
    };
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < role.roles.size(); ++i)
        others.emplace_back([&, i] { guarded(role.roles[i]); });
    guarded(role.roles.front());
    return 0;
}

}  // namespace cairn::bench
