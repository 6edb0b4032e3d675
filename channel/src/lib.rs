//! The channel node: routes by user, owns conversations.
//!
//! | file | noun |
//! |---|---|
//! | [`routes`] | user → connected devices and their connectors |
//! | `route_list`, `user_key` | the routes of one user; a user's name as a map key |
//! | [`links`] | the connectors that are linked to this node |
//! | [`node`] | the node: starts, takes links, sorts what arrives, drains |
//! | [`config`] | what a node is told at start |
//! | `dispatch` | one device request: checked, and sent to who handles it |
//! | `owners`, `shares` | the way to the tasks that own conversations; what one user may take of what all share |
//! | `creations` | how many conversations a user may create |
//! | `slot`, `slot_cache` | the task that performs what conversations want done; the conversations it holds |
//! | [`tally`] | how much these conversations weigh |
//! | `settle` | conversations that were given up: their tips are told when it is known |
//! | `recent` | what was pushed a moment ago, told again for who has missed it (pure) |
//! | `rounds` | what another owner has committed and not told, found after a change of owners |
//! | [`conversation`] | a conversation's owner: numbers, members, retries (pure) |
//! | `fanout` | one frame for many users, one push per connector and per other channel node |
//! | `peers`, `peer_task`, `peer_link` | the other channel nodes; the task that keeps up with them; what one of them says |
//! | `subscriptions` | presence across channel nodes: who is asked of whom (pure) |
//! | `strangers` | conversations of other nodes that a slot task holds |
//! | `tickets` | requests of the node itself, and who waits for their answers |
//! | `turns` | work of which so much runs at once and so much more waits |
//! | `readers` | requests that are answered from the store, each in a task |
//! | `login` | a device logs in: id, epoch, route |
//! | `resend` | pushed messages, read again from the log |
//! | `heads` | how far conversations reach, told after a change of nodes |
//! | `history`, `window` | Sync: reads from the log; which seqs it looks at (pure) |
//! | `render` | a stored entry as it is served: without its content once it was recalled |
//! | `conversations`, `page`, `member_page` | lists of conversations and of members; how the former go on (pure) |
//! | `presence`, `falling`, `pending` | who watches whom, who waits out the grace, what waits to be recorded (pure) |
//! | `watch`, `teller`, `presence_log`, `presence_tasks` | answers Watch; tells who comes and goes; writes the presence stream |
//! | [`device_limit`], `duels` | how many devices a user may have; two processes that fight over one (pure) |
//! | `samples`, `timeline` | when recent messages were pushed and read; what became of one message |
//! | `reply` | the way back to the device that asked |
//! | [`metrics`] | what this node has done since it started |

pub mod config;
pub mod conversation;
mod conversations;
mod creations;
pub mod device_limit;
mod dispatch;
mod duels;
mod falling;
mod fanout;
mod heads;
mod history;
pub mod links;
mod login;
mod member_page;
pub mod metrics;
pub mod node;
mod owners;
mod page;
mod peer_link;
mod peer_task;
mod peers;
mod pending;
mod presence;
mod presence_log;
mod presence_tasks;
mod readers;
mod recent;
mod render;
mod reply;
mod resend;
mod rounds;
mod route_list;
pub mod routes;
mod samples;
mod settle;
mod shares;
mod slot;
mod slot_cache;
mod strangers;
mod subscriptions;
pub mod tally;
mod teller;
mod tickets;
mod timeline;
mod turns;
mod user_key;
mod watch;
mod window;
