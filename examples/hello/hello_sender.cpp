#include <cairn/cairn.hpp>

int main() {
    cairn::node node;
    node.bind("tcp://127.0.0.1:5555");
    cairn::pusher queue{node, "hello"};
    for (int i = 1; i <= 10; ++i) queue.push("hello " + std::to_string(i));
    return queue.close(std::chrono::minutes(1)) == 0 ? 0 : 1;
}
