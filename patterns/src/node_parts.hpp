#pragma once

#include "publishing.hpp"
#include "pushing.hpp"

#include <cairn/node.hpp>
#include <cairn/runtime/hub.hpp>

namespace cairn {

/// What a node is made of: the runtime, and a service for each pattern's sending side.
struct node::parts {
    explicit parts(node_options options);
    ~parts();

    runtime::hub hub;
    patterns::publishing publishing;
    patterns::pushing pushing;
};

}  // namespace cairn
