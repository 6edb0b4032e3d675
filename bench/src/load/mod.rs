//! Load: processes that play many devices on bare epoll sockets, one thread each, whatever protocol they speak. So the
//! gateway, its ceiling and its peers see the same traffic from the same generator.
//!
//! | file | noun |
//! |---|---|
//! | `crew` | the generator processes, seen from the verb that leads them |
//! | `plan`, `order` | what a process is to play; what the leader says and hears |
//! | `worker` | the loop of one process |
//! | `scenario/` | what the devices do |
//! | `speech/` | how they say it: the gateway's protocol, MQTT, NATS, or bare frames |
//! | `engine`, `conn` | connections and their events |
//! | `dialer`, `layer`, `websocket`, `quic` | what lies below: TCP, TLS, WebSocket, QUIC |
//! | `stamp`, `clock`, `tally` | when a message was due and its number; the clock; what was counted |

pub mod clock;
mod conn;
pub mod crew;
mod dialer;
mod engine;
mod layer;
pub mod order;
pub mod plan;
mod quic;
mod scenario;
mod speech;
mod stamp;
pub mod tally;
mod websocket;
pub mod worker;

pub use dialer::trusting;
pub use stamp::STAMP_BYTES;
