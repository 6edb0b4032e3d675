//! Who may link with whom.

use idgen::NodeType;
use protocol::node::v1::LinkHello;
use protocol::node::v1::link_refused::Reason;
use protocol::version::NODE_VERSIONS;
use whimbrel_cluster::link::hello::{Me, Refusal};

use super::support::{channel, connector, me, node};

fn hello() -> LinkHello {
    me(connector(), 7).hello(channel(), 1, 0, 4096)
}

fn refused(hello: LinkHello, role: Option<NodeType>, newest: Option<u64>) -> Option<Reason> {
    me(channel(), 1).admit(&hello, role, |_| newest).err().map(|refusal| refusal.reason)
}

#[test]
fn who_belongs_here_is_let_in() {
    let caller = me(channel(), 1).admit(&hello(), Some(NodeType::Connector), |_| Some(7)).unwrap();
    assert_eq!((caller.node, caller.incarnation, caller.version), (connector(), 7, *NODE_VERSIONS.end()));
    let peer = me(node(NodeType::Channel, 9), 7).hello(channel(), 1, 0, 4096);
    assert!(me(channel(), 1).admit(&peer, Some(NodeType::Channel), |_| None).is_ok());
    assert!(
        me(channel(), 1).admit(&peer, Some(NodeType::Connector), |_| None).is_err(),
        "by its certificate"
    );
}

#[test]
fn who_does_not_is_told_why() {
    let cases = [
        (LinkHello { cluster: "prod".into(), ..hello() }, Reason::Cluster),
        (LinkHello { cluster: String::new(), ..hello() }, Reason::Cluster),
        (LinkHello { version_min: NODE_VERSIONS.end() + 1, version_max: 9, ..hello() }, Reason::Version),
        (LinkHello { version_min: 0, version_max: 0, ..hello() }, Reason::Version),
        (LinkHello { node: 5, ..hello() }, Reason::Hello),
        (LinkHello { to: node(NodeType::Channel, 9).as_u64(), ..hello() }, Reason::NotMe),
        (LinkHello { node: channel().as_u64(), ..hello() }, Reason::Stale),
    ];
    for (hello, reason) in cases {
        assert_eq!(refused(hello.clone(), None, None), Some(reason), "{hello:?}");
    }
    assert_eq!(refused(hello(), None, Some(8)), Some(Reason::Stale), "a later one of that id lives");
    assert_eq!(refused(hello(), Some(NodeType::Channel), None), Some(Reason::Role));
    assert_eq!(
        refused(hello(), Some(NodeType::Device), None),
        Some(Reason::Role),
        "a certificate without a role"
    );
}

/// A node of the next version offers both; one that only speaks the next is refused, and says so.
#[test]
fn a_version_and_the_next_one_link() {
    let (first, last) = (*NODE_VERSIONS.start(), *NODE_VERSIONS.end());
    let next = LinkHello { version_min: last, version_max: last + 1, ..hello() };
    assert_eq!(me(channel(), 1).admit(&next, None, |_| None).unwrap().version, last);
    let before = LinkHello { version_min: first, version_max: first, ..hello() };
    assert_eq!(me(channel(), 1).admit(&before, None, |_| None).unwrap().version, first);
}

#[test]
fn an_answer_of_somebody_else_is_no_welcome() {
    let welcome = me(channel(), 1).welcome(1, false, 0, 1);
    assert_eq!(Me::welcomed(channel(), None, &welcome), Ok(()));
    let reason = |answer: Result<(), Refusal>| answer.err().map(|refusal| refusal.reason);
    assert_eq!(reason(Me::welcomed(node(NodeType::Channel, 3), None, &welcome)), Some(Reason::NotMe));
    assert_eq!(reason(Me::welcomed(channel(), Some(NodeType::Connector), &welcome)), Some(Reason::Role));
    let later = me(channel(), 1).welcome(NODE_VERSIONS.end() + 1, false, 0, 1);
    assert_eq!(reason(Me::welcomed(channel(), None, &later)), Some(Reason::Version));
}

#[test]
fn a_strangers_text_does_not_write_the_log() {
    let hello = LinkHello { cluster: "x\n".repeat(4_000), ..hello() };
    let refusal = me(channel(), 1).admit(&hello, None, |_| None).unwrap_err();
    assert!(refusal.text.len() < 300 && !refusal.text.contains('\n'), "{}", refusal.text);
    let told = protocol::node::v1::LinkRefused { reason: 77, text: "a\u{1b}[2J\n".repeat(900) };
    let refusal = Refusal::from(told);
    assert!(refusal.text.len() <= 200 && !refusal.text.contains('\n'));
}
