#include <cairn/store_server.hpp>

#include <filesystem>

// A store inside another program.
int main() {
    const std::filesystem::path data = std::filesystem::current_path() / "data";
    cairn::store_server store(data);
    return store.endpoints().size() == 1 ? 0 : 1;
}
