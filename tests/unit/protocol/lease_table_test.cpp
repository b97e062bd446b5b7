#include <cairn/protocol/lease_table.hpp>
