#include <cairn/error.hpp>

namespace cairn {

namespace {

struct words {
    std::string_view name;
    std::string_view description;
};

// Without a default, so that the compiler names an enumerator that is missing here.
words words_of(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return {"ok", "success"};
        case errc::closed:
            return {"closed", "the handle, node or peer was closed; make a new one to go on"};
        case errc::timed_out:
            return {"timed_out", "the deadline passed first; retry when it suits"};
        case errc::full:
            return {"full",
                    "a limit in bytes or messages is reached; retry later, or raise the limit"};
        case errc::invalid_argument:
            return {"invalid_argument", "a value is outside its documented range; fix the call"};
        case errc::limit_exceeded:
            return {"limit_exceeded",
                    "more was asked for than a limit allows; ask for less, or raise the limit at "
                    "the peer"};
        case errc::not_supported:
            return {"not_supported", "this version does not do that; use a version that does"};
        case errc::forked:
            return {"forked",
                    "the handle belongs to the parent of a forked process; make a new node in the "
                    "child"};
        case errc::malformed:
            return {"malformed",
                    "the frame does not decode; update or fix the program that sent it"};
        case errc::unknown_kind:
            return {"unknown_kind",
                    "the frame's kind has no meaning in this version; update the receiver, or do "
                    "without"};
        case errc::version_mismatch:
            return {"version_mismatch",
                    "no protocol version is spoken by both sides; update the older one"};
        case errc::too_large:
            return {"too_large", "a message, frame or name is above its limit; send less at once"};
        case errc::checksum_mismatch:
            return {"checksum_mismatch",
                    "a batch differs from what its sender hashed; it was dropped and is asked for "
                    "again, check memory and network if this repeats"};
        case errc::not_greeted:
            return {"not_greeted", "a request came before HELLO; greet first"};
        case errc::address_in_use:
            return {"address_in_use",
                    "another socket listens on that endpoint; choose another port, or stop the "
                    "other program"};
        case errc::address_invalid:
            return {"address_invalid",
                    "the endpoint cannot be parsed or is not an address of this host; write it as "
                    "tcp://host:port, ipc://path or inproc://name"};
        case errc::host_unknown:
            return {"host_unknown",
                    "the host name does not resolve; check its spelling and the resolver"};
        case errc::permission_denied:
            return {"permission_denied",
                    "the operating system refused; check owner and mode of the path, or take a "
                    "port above 1023"};
        case errc::insecure_refused:
            return {"insecure_refused",
                    "a listener beyond loopback needs keys; give keys, bind to loopback, or say "
                    "`insecure`"};
        case errc::key_invalid:
            return {"key_invalid",
                    "a CURVE key or key file cannot be used; make a new pair, and keep the secret "
                    "file at mode 0600"};
        case errc::not_authorised:
            return {"not_authorised",
                    "the peer's key is not on the allow-list, or lacks the right; add it at the "
                    "side that binds"};
        case errc::server_key_mismatch:
            return {
                "server_key_mismatch",
                "the peer does not hold the expected key; check the server key and the endpoint"};
        case errc::mechanism_mismatch:
            return {"mechanism_mismatch",
                    "one side uses CURVE and the other does not; give keys to both or to neither"};
        case errc::not_cairn:
            return {
                "not_cairn",
                "something answers there, but it does not speak this protocol; check the endpoint"};
        case errc::peer_silent:
            return {
                "peer_silent",
                "nothing was heard for the liveness limit; the link is given up and tried again"};
        case errc::too_many_peers:
            return {"too_many_peers",
                    "the node has as many connections as it allows; raise peers_max, or connect "
                    "elsewhere"};
        case errc::peer_unreachable:
            return {"peer_unreachable",
                    "nobody listens at the endpoint yet; it is tried again until somebody does"};
        case errc::topic_invalid:
            return {
                "topic_invalid",
                "a topic has 1 to 255 bytes and no `*`, a pattern may end in one; fix the name"};
        case errc::source_in_use:
            return {"source_in_use",
                    "this node already has that source on that topic; close the other, or take "
                    "another name"};
        case errc::fenced:
            return {"fenced",
                    "a newer run of the same source exists; stop this one, or give it a name of "
                    "its own"};
        case errc::gone:
            return {"gone",
                    "the position is no longer held; go on from the first position that is"};
        case errc::unknown_subscription:
            return {"unknown_subscription",
                    "the number names no subscription or attachment of the link; subscribe or "
                    "attach again"};
        case errc::credit_exceeded:
            return {"credit_exceeded",
                    "more was sent than the reader granted; wait for credit before sending"};
        case errc::stale_ack:
            return {
                "stale_ack",
                "the lease is over: the message is done or was lent to another; drop the result"};
        case errc::deliveries_exceeded:
            return {"deliveries_exceeded",
                    "the message was delivered as often as allowed and given up; look into why "
                    "workers fail on it"};
        case errc::rejected:
            return {"rejected", "a worker refused the message for good; look at its reason"};
        case errc::store_in_use:
            return {"store_in_use",
                    "the database is open already, in this process or another; use that one, or "
                    "stop it"};
        case errc::store_newer:
            return {"store_newer",
                    "the database was written in a newer format; install the version that its text "
                    "names"};
        case errc::store_damaged:
            return {"store_damaged",
                    "stored bytes fail their checksum or cannot be read; run verify, restore what "
                    "is missing"};
        case errc::store_failed:
            return {"store_failed",
                    "a write or sync failed and the store stopped writing; mend the disk, then "
                    "open the store again"};
        case errc::store_full:
            return {"store_full",
                    "the quota of the store or a limit of the topic is reached; trim, or raise the "
                    "limit"};
        case errc::disk_full:
            return {"disk_full", "the disk of the store is full; make room, it goes on by itself"};
        case errc::filesystem_refused:
            return {"filesystem_refused",
                    "the directory lies on a network file system, where LMDB loses data; use a "
                    "local disk, or force it"};
        case errc::topic_unknown:
            return {"topic_unknown", "the store has no such topic; check its name, or create it"};
        case errc::topic_exists:
            return {"topic_exists",
                    "the topic exists with another configuration; alter it instead"};
        case errc::group_unknown:
            return {"group_unknown", "the topic has no such group; check its name, or create it"};
        case errc::group_exists:
            return {"group_exists", "the group exists with other settings; alter it instead"};
        case errc::source_unknown:
            return {"source_unknown", "the source was not opened on that topic; open it first"};
        case errc::hole:
            return {"hole",
                    "the batch does not follow what is stored; go back to the position that the "
                    "answer names"};
        case errc::conflict:
            return {"conflict",
                    "another content is stored under that position; two programs use one source, "
                    "give each its own"};
        case errc::not_stored:
            return {"not_stored",
                    "the position or offset is not stored yet; ask again after its append was "
                    "confirmed"};
        case errc::lost:
            return {"lost",
                    "the source declared these messages lost before they reached the store"};
        case errc::sought:
            return {"sought",
                    "the group was moved to another position in its topic; attach anew and read "
                    "from there"};
    }
    return {"unknown", "unknown error"};
}

}  // namespace

std::string_view name(errc code) noexcept { return words_of(code).name; }

std::string_view describe(errc code) noexcept { return words_of(code).description; }

}  // namespace cairn
