#pragma once

#include "model.hpp"

#include <cairn/store/database.hpp>

#include <optional>
#include <string>

namespace cairn::test {

/// All of what a damaged database does: what it leaves out in silence too. Or the content alone of
/// what it still delivers: a page of earlier that came back, or a tree that was not walked, may
/// hide messages.
enum class judged { all, content };

/// What is wrong among what a damaged database still delivers. Damage that it reports is right.
std::optional<std::string> wrong_delivery(const store::database& db, const model& known,
                                          judged what);

}  // namespace cairn::test
