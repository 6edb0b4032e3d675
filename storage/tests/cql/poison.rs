//! Rows that nobody of ours has written: a check finds each, and a read or an open that meets it says so.

use std::sync::Arc;

use protocol::code::Code;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use whimbrel_storage::check::{self, Scope};
use whimbrel_storage::contract::sample::{Act, Item, Sample};
use whimbrel_storage::cql::{CqlConfig, CqlStore};
use whimbrel_storage::log::{Log, ReadRange};
use whimbrel_storage::{ConversationKey, StoreError};

use super::cluster::{driver, shared};
use super::salted::Salted;

/// What is written, and what is found of it.
struct Poison {
    /// `KEY` stands for the conditions on the conversation.
    statement: &'static str,
    /// The code of the finding.
    code: &'static str,
    /// A read meets it.
    read: bool,
    /// An open meets it.
    open: bool,
}

const TENANT: &str = "poison";
const LOG: &str = "kind = 1 AND tenant = 'TENANT' AND conversation = 'room 0' AND bucket = 0";
const BESIDE: &str = "tenant = 'TENANT' AND conversation = 'room 0'";

/// Conditional writes carry the server's time, plain ones small numbers; these come later than either.
const POISONS: [Poison; 8] = [
    // What is beside an entry does not decode.
    Poison {
        statement: "UPDATE ks.log SET meta = 0x09 WHERE LOG AND seq = 3",
        code: "unreadable",
        read: true,
        open: false,
    },
    // An entry is no message.
    Poison {
        statement: "UPDATE ks.log SET payload = 0xffffff WHERE LOG AND seq = 3",
        code: "undecodable",
        read: false,
        open: false,
    },
    Poison {
        statement: "DELETE FROM ks.log WHERE LOG AND seq = 3",
        code: "unreadable",
        read: true,
        open: false,
    },
    // The log says that it ends elsewhere.
    Poison { statement: "UPDATE ks.log SET tip = 9 WHERE LOG", code: "rows", read: false, open: true },
    // Its last batch is another one.
    Poison {
        statement: "UPDATE ks.log SET batch_id = 0x000102030405060708090a0b0c0d0e0f WHERE LOG",
        code: "rows",
        read: false,
        open: false,
    },
    // Readers are told of entries that are not there.
    Poison {
        statement: "UPDATE ks.conversations SET tip = 9 WHERE BESIDE",
        code: "unreadable",
        read: true,
        open: false,
    },
    Poison {
        statement: "UPDATE ks.conversations SET read = 99 WHERE BESIDE AND user = 'user 1'",
        code: "cursor",
        read: false,
        open: false,
    },
    Poison {
        statement: "UPDATE ks.conversations SET member = 0x01 WHERE BESIDE AND user = 'user 1'",
        code: "unreadable",
        read: false,
        open: true,
    },
];

/// A conversation of five messages.
async fn written(store: &CqlStore<Salted>, tenant: &str) {
    let say = Item::Say { bytes: 20, hidden: false };
    let act = |items: Vec<Item>| Act { room: 0, user: 1, items };
    let found = Item::Join { user: 1, with_history: true };
    Sample::new(store, tenant).write(&[act(vec![found, say.clone(), say.clone()]), act(vec![say])]).await;
}

async fn codes(store: &CqlStore<Salted>, tenant: &str) -> Vec<&'static str> {
    let mut codes = Vec::new();
    let mut tell = |news| {
        if let check::News::Found(finding) = news {
            codes.push(finding.fault.code());
        }
    };
    check::check(store, &Scope::tenant(tenant), &mut tell).await.unwrap();
    codes
}

async fn session() -> Session {
    SessionBuilder::new().known_nodes(&shared().await.0.contact_points).build().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_found_and_said() {
    let (session, driver) = (session().await, Arc::new(driver().await));
    let name = format!("{}.", shared().await.0.keyspace);
    for Poison { statement, code, read, open } in POISONS {
        let tables = Salted::new(driver.clone());
        let store = CqlStore::new(Arc::new(tables.clone()), CqlConfig::default());
        written(&store, TENANT).await;
        assert_eq!(codes(&store, TENANT).await, [""; 0], "before {statement}");
        let text = statement.replace("LOG", LOG).replace("BESIDE", BESIDE);
        let text = text.replace("TENANT", &tables.tenant(TENANT)).replace("ks.", &name);
        session.query_unpaged(text, ()).await.unwrap();

        let found = codes(&store, TENANT).await;
        assert!(found.contains(&code), "{statement}: {found:?}");
        let key = ConversationKey::new(TENANT, "room 0");
        let range = ReadRange { first: 1, last: 99, backwards: false, max_entries: 99, max_bytes: 99_999 };
        assert_eq!(is_corrupt(store.read(&key, range).await), read, "a read after {statement}");
        assert_eq!(is_corrupt(store.open(&key).await), open, "an open after {statement}");
    }
}

fn is_corrupt<R: std::fmt::Debug>(result: Result<R, StoreError>) -> bool {
    match result {
        Ok(_) => false,
        Err(error) if error.code() == Code::CORRUPT => true,
        Err(error) => panic!("{error}"),
    }
}
