//! The routes against a reference model.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use idgen::{NodeId, NodeType, WorkerNumber};
use proptest::prelude::*;
use whimbrel_channel::routes::{AttachOutcome, Detached, Route, Routes};

const TENANT: &str = "demo";

#[derive(Clone, Debug)]
enum Step {
    Attach { user: u8, device: u64, epoch: u64, connector: u16 },
    Detach { user: u8, device: u64, epoch: u64 },
    RemoveConnector { connector: u16 },
}

/// (user, device) → (epoch, connector): at most one route per device by construction.
type Model = BTreeMap<(u8, u64), (u64, u16)>;

fn connector(number: u16) -> NodeId {
    NodeId::new(NodeType::Connector, WorkerNumber::new(number).unwrap(), Ipv4Addr::LOCALHOST, 1).unwrap()
}

fn user(number: u8) -> String {
    format!("user-{number}")
}

fn step() -> impl Strategy<Value = Step> {
    let who = || (0..3u8, 0..4u64, 0..8u64);
    prop_oneof![
        6 => (who(), 0..3u16).prop_map(|((user, device, epoch), connector)| Step::Attach { user, device, epoch, connector }),
        5 => who().prop_map(|(user, device, epoch)| Step::Detach { user, device, epoch }),
        1 => (0..3u16).prop_map(|connector| Step::RemoveConnector { connector }),
    ]
}

fn is_online(model: &Model, user: u8) -> bool {
    model.keys().any(|&(other, _)| other == user)
}

fn attach(model: &mut Model, user: u8, device: u64, epoch: u64, at: u16) -> AttachOutcome {
    let was_online = is_online(model, user);
    let present = model.get(&(user, device)).copied();
    if let Some((present, there)) = present.filter(|&(present, _)| present >= epoch) {
        return AttachOutcome {
            attached: (present, there) == (epoch, at),
            displaced: None,
            came_online: false,
        };
    }
    model.insert((user, device), (epoch, at));
    let displaced = present.map(|(epoch, there)| Route::new(device, epoch, connector(there)));
    AttachOutcome { attached: true, displaced, came_online: !was_online }
}

fn detach(model: &mut Model, user: u8, device: u64, epoch: u64) -> Detached {
    let removed = model.get(&(user, device)).is_some_and(|&(present, _)| present == epoch);
    if removed {
        model.remove(&(user, device));
    }
    Detached { removed, went_offline: removed && !is_online(model, user) }
}

fn check(routes: &Routes, model: &Model) {
    for number in 0..3 {
        let mut found = Vec::new();
        routes.for_each(TENANT, &user(number), |route| found.push(*route));
        let expected: Vec<Route> = model
            .range((number, 0)..=(number, u64::MAX))
            .map(|(&(_, device), &(epoch, at))| Route::new(device, epoch, connector(at)))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(routes.is_online(TENANT, &user(number)), is_online(model, number));
        routes.for_each("other", &user(number), |route| panic!("{route:?} shows in another tenant"));
    }
    assert_eq!(routes.device_count(), model.len());
    let users: BTreeSet<u8> = model.keys().map(|&(user, _)| user).collect();
    assert_eq!(routes.user_count(), users.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Late farewells remove nothing newer, and the highest epoch stays.
    #[test]
    fn routes_do_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let (routes, mut model) = (Routes::default(), Model::new());
        for step in steps {
            match step {
                Step::Attach { user: number, device, epoch, connector: at } => {
                    let route = Route::new(device, epoch, connector(at));
                    let outcome = routes.attach(TENANT, &user(number), route);
                    prop_assert_eq!(outcome, attach(&mut model, number, device, epoch, at));
                }
                Step::Detach { user: number, device, epoch } => {
                    let outcome = routes.detach(TENANT, &user(number), device, epoch);
                    prop_assert_eq!(outcome, detach(&mut model, number, device, epoch));
                }
                Step::RemoveConnector { connector: gone } => {
                    let before = model.clone();
                    model.retain(|_, &mut (_, at)| at != gone);
                    let mut offline = BTreeSet::new();
                    let removed = routes.remove_connector(connector(gone), |_, user| {
                        assert!(offline.insert(user.to_owned()));
                    });
                    prop_assert_eq!(removed, before.len() - model.len());
                    let expected = (0..3).filter(|&n| is_online(&before, n) && !is_online(&model, n));
                    prop_assert_eq!(offline, expected.map(user).collect());
                }
            }
            check(&routes, &model);
        }
    }
}

#[test]
fn a_users_since_is_that_of_the_first_device() {
    let routes = Routes::default();
    let route = |device, secs: u64| Route::new(device, secs * 1_000_000, connector(1));
    routes.attach(TENANT, "u", route(1, 1_800_000_000));
    routes.attach(TENANT, "u", route(2, 1_800_000_050));
    routes.detach(TENANT, "u", 1, 1_800_000_000 * 1_000_000);
    assert_eq!(routes.online_since(TENANT, "u"), Some(1_800_000_000_000));
    routes.detach(TENANT, "u", 2, 1_800_000_050 * 1_000_000);
    assert_eq!(routes.online_since(TENANT, "u"), None);
}
