#include "bounds.hpp"

namespace cairn::store {

const bounds& known_bounds() noexcept {
    static constexpr bounds all;
    return all;
}

}  // namespace cairn::store
