#include <cairn/error.hpp>

int main() { return cairn::name(cairn::errc::ok) == "ok" ? 0 : 1; }
