#pragma once

#include <cairn/runtime/endpoint.hpp>
#include <cairn/runtime/socket_factory.hpp>

#include <zmq.hpp>

#include <memory>

/// What only the edge itself asks of the socket factory; defined in socket_factory.cpp.
namespace cairn::runtime {

/// The ZAP handler's socket, which never leaves the process. Throws error.
zmq::socket_t internal_socket(zmq::context_t& context, zmq::socket_type type);

/// The reading end of a monitor. Throws error.
socket monitor_socket(std::shared_ptr<context> owner);

/// Turns IPv6 on for the next bind or connect exactly when `where` needs it. Throws error.
void allow_ipv6(zmq::socket_ref on, const endpoint& where);

/// Makes the next bind take a descriptor that listens already; -1: make its own. Throws error.
void use_descriptor(zmq::socket_ref on, int listening);

}  // namespace cairn::runtime
