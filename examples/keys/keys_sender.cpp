// keys_sender ENDPOINT SECRET_FILE SERVER_KEY TEXT  sends a letter to the holder of that key.
#include <cairn/cairn.hpp>

#include <iostream>

int main(int argc, char** argv) {
    if (argc != 5) return 2;
    const cairn::security_options security{.keys = cairn::load_keys(argv[2]),
                                           .server_key = argv[3]};
    const auto log = [](cairn::log_level, std::string_view line) { std::cerr << line << '\n'; };
    cairn::node node({.security = security, .log = log});
    node.connect(argv[1]);
    cairn::pusher letters(node, "letters");
    letters.push(argv[4]);
    return letters.close(std::chrono::seconds(3)) == 0 ? 0 : 1;  // 0: it was acked
}
