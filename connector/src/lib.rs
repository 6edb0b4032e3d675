//! The connector: terminates device connections on every transport and keeps DeviceId → session.
//!
//! | file | noun |
//! |---|---|
//! | [`connector`] | a connector node: listeners in, links out |
//! | `drain` | devices sent away: all, or a share to other connectors |
//! | [`config`] | what an operator decides |
//! | [`ports`], `accept` | the listeners; from a socket to a running connection |
//! | [`http`] | the HTTP port: WebSocket upgrades, everything else to a router |
//! | [`transport`] | what any transport gives |
//! | [`websocket`] | RFC 6455 on the server side |
//! | [`tls`], [`tls_stream`], [`quic`] | certificates; a TLS session on a stream; one QUIC stream per connection |
//! | [`peek`], [`rewind`] | what a connection opens with, and putting it back |
//! | `handshake`, `attach` | Hello, token, route: a device logs in |
//! | [`auth`] | who a device is, by its token |
//! | [`session`] | pure: what a frame asks for |
//! | `connection`, `closing` | the task of one device, and its end |
//! | `attachment`, `resume` | a connection's part in a session, and what happens when it ends; coming back to one |
//! | [`outbox`] | pure: what waits for one device, bounded in bytes |
//! | [`delivery`], [`window`] | pure: pushes until they are acknowledged, by place in the log |
//! | [`handle`], [`sessions`] | one device seen from outside; the map of all |
//! | [`wheel`], [`bucket`] | deadlines without timers; so many per second |
//! | `core` | what every connection shares |
//! | `uplink` | the way to the owner of a slot |
//! | [`held`], `hold` | pure: requests that wait for an owner within reach; who lets them go |
//! | `open`, `presence` | what is not answered yet; what a device has said of presence |
//! | [`received`] | pure: which pushes a link has brought |
//! | `follow`, `remote` | links to channel nodes in other processes: as they come and go; one of them |
//! | [`metrics`] | counters |

mod accept;
mod attach;
mod attachment;
mod closing;
mod connection;
mod core;
mod drain;
mod follow;
mod handshake;
mod hold;
mod open;
mod presence;
mod remote;
mod resume;
mod uplink;

pub mod auth;
pub mod bucket;
pub mod config;
pub mod connector;
pub mod delivery;
pub mod handle;
pub mod held;
pub mod http;
pub mod metrics;
pub mod outbox;
pub mod peek;
pub mod ports;
pub mod quic;
pub mod received;
pub mod rewind;
pub mod session;
pub mod sessions;
pub mod tls;
pub mod tls_stream;
pub mod transport;
pub mod websocket;
pub mod wheel;
pub mod window;

pub use accept::listen;
pub use config::ConnectorConfig;
pub use connector::Connector;
