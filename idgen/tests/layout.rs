//! Properties of the bit layouts: every field comes back, and every number is either refused or read the same twice.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use proptest::prelude::*;
use whimbrel_idgen::{DeviceId, DeviceType, NodeId, NodeType, Stamp, WorkerNumber};

fn workers() -> impl Strategy<Value = WorkerNumber> {
    (0..WorkerNumber::COUNT).prop_map(|number| WorkerNumber::new(number).unwrap())
}

fn device_types() -> impl Strategy<Value = DeviceType> {
    (0..=3_u8).prop_map(|code| DeviceType::new(code).unwrap())
}

/// Any number, half of them with a node type that exists.
fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..3_u64 << 60]
}

proptest! {
    #[test]
    fn every_field_of_a_device_id_comes_back(
        worker in workers(),
        device_type in device_types(),
        seconds in 0..=Stamp::MAX_SECONDS,
        counter: u16,
    ) {
        let stamp = Stamp::new(seconds, counter).unwrap();
        let id = DeviceId::new(worker, device_type, stamp);
        prop_assert_eq!(id.node_type(), NodeType::Device);
        prop_assert_eq!(id.worker(), worker);
        prop_assert_eq!(id.device_type(), device_type);
        prop_assert_eq!(id.stamp(), stamp);
        prop_assert_eq!((id.stamp().seconds(), id.stamp().counter()), (seconds, counter));
        prop_assert_eq!(DeviceId::try_from(u64::from(id)), Ok(id));
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn every_field_of_a_node_id_comes_back(
        node_type in prop_oneof![Just(NodeType::Connector), Just(NodeType::Channel)],
        number in workers(),
        ip: u32,
        port: u16,
    ) {
        let ip = Ipv4Addr::from(ip);
        let id = NodeId::new(node_type, number, ip, port).unwrap();
        prop_assert_eq!(id.node_type(), node_type);
        prop_assert_eq!(id.number(), number);
        prop_assert_eq!((id.ip(), id.port()), (ip, port));
        prop_assert_eq!((*id.addr().ip(), id.addr().port()), (ip, port));
        prop_assert_eq!(NodeId::try_from(u64::from(id)), Ok(id));
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_number_is_a_device_or_a_node_or_neither(bits in numbers()) {
        let device = DeviceId::from_u64(bits);
        let node = NodeId::from_u64(bits);
        prop_assert_eq!(device.is_ok(), bits >> 60 == 0);
        prop_assert_eq!(node.is_ok(), matches!(bits >> 60, 1 | 2));
        if let Ok(id) = device {
            prop_assert_eq!(id.as_u64(), bits);
            prop_assert_eq!(DeviceId::new(id.worker(), id.device_type(), id.stamp()), id);
        }
        if let Ok(id) = node {
            prop_assert_eq!(id.as_u64(), bits);
            prop_assert_eq!(NodeId::new(id.node_type(), id.number(), id.ip(), id.port()), Ok(id));
        }
    }

    #[test]
    fn an_id_has_one_written_form(text in "[0-2][0-9a-fA-F]{15}|[0-9a-f+ é]{0,20}") {
        if let Ok(id) = text.parse::<DeviceId>() {
            prop_assert_eq!(id.to_string(), text.clone());
        }
        if let Ok(id) = text.parse::<NodeId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn stamps_order_like_their_parts(a in stamp_parts(), b in stamp_parts()) {
        let [x, y] = [a, b].map(|(seconds, counter)| Stamp::new(seconds, counter).unwrap());
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        match x.next() {
            // Nothing lies between a stamp and its next.
            Some(next) => prop_assert!(next > x && (y <= x || y >= next)),
            None => prop_assert_eq!(x, Stamp::MAX),
        }
    }
}

/// Seconds and a counter, often at the edges where one carries into the other.
fn stamp_parts() -> impl Strategy<Value = (u32, u16)> {
    let last = Stamp::MAX_SECONDS;
    (
        prop_oneof![0..=last, 0..3_u32, last - 2..=last],
        prop_oneof![any::<u16>(), 0..3_u16, u16::MAX - 2..=u16::MAX],
    )
}
