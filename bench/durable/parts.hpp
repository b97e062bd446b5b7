#pragma once

#include "harness/run.hpp"
#include "scenarios.hpp"
#include "store/lab.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

/// What the scenarios of a store in a process of its own have in common.
namespace cairn::bench {

inline row durable_row(const scenario& self, const plan& of, std::size_t rounds) {
    row line;
    line.scenario = self.name;
    line.size = of.traffic.size;
    line.transport = of.transport;
    line.peers = of.traffic.peers;
    line.rounds = rounds;
    return line;
}

/// A store that binds, and a role that connects to it.
inline plan store_and(const options& wanted, const scratch& where, std::string connector,
                      std::size_t size, std::size_t threads = 1) {
    plan made{"cairn-store", std::move(connector), wanted.transport, {}};
    made.traffic.size = size;
    made.traffic.threads = threads;
    made.traffic.variant = where / "db";
    made.traffic.flush_ms = wanted.flush_ms;
    return made;
}

/// A store beside two peers: one publishes to it and to the other.
inline plan peers_beside_store(const options& wanted, const scratch& where, std::string publisher,
                               std::string reader, std::size_t size) {
    plan made{std::move(publisher), std::move(reader), wanted.transport, {}, "cairn-store"};
    made.traffic.size = size;
    made.traffic.variant = where / "db";
    return made;
}

inline sample measured(const plan& wanted, std::chrono::nanoseconds time) {
    run going(wanted);
    going.wait_until_flowing();
    going.let_pass(std::min<std::chrono::nanoseconds>(time / 10, std::chrono::seconds(1)));
    return going.measure(time);
}

}  // namespace cairn::bench
