#include <cairn/error.hpp>

namespace cairn {

namespace {

struct entry {
    errc code;
    std::string_view name;
    std::string_view text;
};

constexpr entry entries[] = {
    {errc::ok, "ok", "success"},
    {errc::closed, "closed", "the handle, node or peer was closed; make a new one to go on"},
    {errc::timed_out, "timed_out", "the deadline passed first; retry when it suits"},
    {errc::full, "full",
     "a limit in bytes or messages is reached; retry later, or raise the limit"},
    {errc::invalid_argument, "invalid_argument",
     "a value is outside its documented range; fix the call"},
    {errc::limit_exceeded, "limit_exceeded",
     "more was asked for than a limit allows; ask for less, or raise the limit at the peer"},
    {errc::not_supported, "not_supported",
     "this version does not do that; use a version that does"},
    {errc::forked, "forked",
     "the handle belongs to the parent of a forked process; make a new node in the child"},
    {errc::malformed, "malformed",
     "the frame does not decode; update or fix the program that sent it"},
    {errc::unknown_kind, "unknown_kind",
     "the frame's kind has no meaning in this version; update the receiver, or do without"},
    {errc::version_mismatch, "version_mismatch",
     "no protocol version is spoken by both sides; update the older one"},
    {errc::too_large, "too_large",
     "a message, frame or name is above its limit; send less at once"},
    {errc::checksum_mismatch, "checksum_mismatch",
     "a batch differs from what its sender hashed; it was dropped and is asked for again, check "
     "memory and network if this repeats"},
    {errc::not_greeted, "not_greeted", "a request came before HELLO; greet first"},
    {errc::address_in_use, "address_in_use",
     "another socket listens on that endpoint; choose another port, or stop the other program"},
    {errc::address_invalid, "address_invalid",
     "the endpoint cannot be parsed or is not an address of this host; write it as "
     "tcp://host:port, ipc://path or inproc://name"},
    {errc::host_unknown, "host_unknown",
     "the host name does not resolve; check its spelling and the resolver"},
    {errc::permission_denied, "permission_denied",
     "the operating system refused; check owner and mode of the path, or take a port above 1023"},
    {errc::insecure_refused, "insecure_refused",
     "a listener beyond loopback needs keys; give keys, bind to loopback, or say `insecure`"},
    {errc::key_invalid, "key_invalid",
     "a CURVE key or key file cannot be used; make a new pair, and keep the secret file at mode "
     "0600"},
    {errc::not_authorised, "not_authorised",
     "the peer's key is not on the allow-list, or lacks the right; add it at the side that binds"},
    {errc::server_key_mismatch, "server_key_mismatch",
     "the peer does not hold the expected key; check the server key and the endpoint"},
    {errc::mechanism_mismatch, "mechanism_mismatch",
     "one side uses CURVE and the other does not; give keys to both or to neither"},
    {errc::not_cairn, "not_cairn",
     "something answers there, but it does not speak this protocol; check the endpoint"},
    {errc::peer_silent, "peer_silent",
     "nothing was heard for the liveness limit; the link is given up and tried again"},
    {errc::too_many_peers, "too_many_peers",
     "the node has as many connections as it allows; raise peers_max, or connect elsewhere"},
    {errc::peer_unreachable, "peer_unreachable",
     "nobody listens at the endpoint yet; it is tried again until somebody does"},
    {errc::topic_invalid, "topic_invalid",
     "a topic has 1 to 255 bytes and no `*`, a pattern may end in one; fix the name"},
    {errc::source_in_use, "source_in_use",
     "this node already has that source on that topic; close the other, or take another name"},
    {errc::fenced, "fenced",
     "a newer run of the same source exists; stop this one, or give it a name of its own"},
    {errc::gone, "gone", "the position is no longer held; go on from the first position that is"},
    {errc::unknown_subscription, "unknown_subscription",
     "the number names no subscription or attachment of the link; subscribe or attach again"},
    {errc::credit_exceeded, "credit_exceeded",
     "more was sent than the reader granted; wait for credit before sending"},
    {errc::stale_ack, "stale_ack",
     "the lease is over: the message is done or was lent to another; drop the result"},
    {errc::deliveries_exceeded, "deliveries_exceeded",
     "the message was delivered as often as allowed and given up; look into why workers fail on "
     "it"},
    {errc::rejected, "rejected", "a worker refused the message for good; look at its reason"},
};

}  // namespace

std::string_view name(errc code) noexcept {
    for (const entry& e : entries)
        if (e.code == code) return e.name;
    return "unknown";
}

std::string_view describe(errc code) noexcept {
    for (const entry& e : entries)
        if (e.code == code) return e.text;
    return "unknown error";
}

}  // namespace cairn
