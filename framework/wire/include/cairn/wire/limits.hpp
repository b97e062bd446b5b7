#pragma once

#include <cstddef>
#include <cstdint>

/// Limits of the protocol; PROTOCOL.md lists the same ("Limits"), and a test compares the two.
namespace cairn::wire {

inline constexpr std::uint8_t protocol_version = 1;

inline constexpr std::size_t topic_bytes_max = 255;
inline constexpr std::size_t source_bytes_max = 255;
inline constexpr std::size_t name_bytes_max = 255;  ///< node and member names
inline constexpr std::size_t group_bytes_max = 255;
inline constexpr std::size_t text_bytes_max = 1'024;  ///< texts of ERROR and BYE, reasons of REJECT

inline constexpr std::size_t body_bytes_max = std::size_t{64} << 20;  ///< body of one message
inline constexpr std::size_t attributes_bytes_max = std::size_t{64} << 10;
inline constexpr std::size_t key_bytes_max = 255;
inline constexpr std::size_t content_type_bytes_max = 255;
inline constexpr std::size_t header_count_max = 64;  ///< user headers of one message

/// Records in one batch; more do not fit a frame of small messages anyway.
inline constexpr std::size_t batch_messages_max = std::size_t{1} << 20;
/// Bytes of records in one batch: one largest message with its attributes and size word.
inline constexpr std::size_t batch_bytes_max = body_bytes_max + attributes_bytes_max + 4;
/// Where an open batch is closed although its publisher goes on; a default, not a wire limit.
inline constexpr std::size_t batch_bytes_default = std::size_t{256} << 10;

inline constexpr std::size_t control_bytes_max = std::size_t{64} << 10;  ///< frame 1 without a body
inline constexpr std::size_t header_bytes_max = std::size_t{1} << 10;    ///< header of a batch
/// What fits a ZeroMQ frame (ZMQ_MAXMSGSIZE).
inline constexpr std::size_t frame_bytes_max = batch_bytes_max + header_bytes_max;
/// A body up to this size travels in the header's frame; a larger one in a frame of its own.
inline constexpr std::size_t inline_body_bytes_max = std::size_t{2} << 10;

/// What a batch costs of its reader's credit beside the bytes of its body: about the memory that it
/// takes, so that many small batches do not hide from the limit (note 0017).
inline constexpr std::size_t batch_charge_bytes = 512;
/// A reader that has consumed so much, or a quarter of its window if that is less, says so.
inline constexpr std::size_t credit_report_bytes = std::size_t{256} << 10;

inline constexpr std::size_t array_items_max = 1'024;  ///< of any msgpack array
inline constexpr std::size_t map_items_max = 256;      ///< of any msgpack map
inline constexpr std::size_t depth_max = 16;           ///< of nested msgpack containers

}  // namespace cairn::wire
