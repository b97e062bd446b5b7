#pragma once

/// All patterns at once, for small programs and examples.
#include <cairn/admin.hpp>
#include <cairn/node.hpp>
#include <cairn/publisher.hpp>
#include <cairn/puller.hpp>
#include <cairn/pusher.hpp>
#include <cairn/replay.hpp>
#include <cairn/subscriber.hpp>
