//! Literal ids. A failure here means that ids already stored would be read differently: mend the code, not the hex.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use whimbrel_idgen::{
    DeviceId, DeviceType, IdError, NodeId, NodeType, OutOfRange, PROJECT_EPOCH_UNIX_SECS, ParseIdError,
    Stamp, WorkerNumber,
};

fn device(worker: u16, device_type: DeviceType, seconds: u32, counter: u16) -> DeviceId {
    let worker = WorkerNumber::new(worker).unwrap();
    DeviceId::new(worker, device_type, Stamp::new(seconds, counter).unwrap())
}

fn node(node_type: NodeType, number: u16, ip: [u8; 4], port: u16) -> NodeId {
    let number = WorkerNumber::new(number).unwrap();
    NodeId::new(node_type, number, Ipv4Addr::from(ip), port).unwrap()
}

#[test]
fn device_ids_have_these_bits() {
    let last_second = Stamp::MAX_SECONDS;
    for (id, bits, plain, described) in [
        (
            device(0, DeviceType::DEFAULT, 0, 0),
            0x0000_0000_0000_0000,
            "0000000000000000",
            "device-0/default@2026-01-01T00:00:00Z#0",
        ),
        (
            device(7, DeviceType::WEB, 5_142_896, 42),
            0x0007_404e_7970_002a,
            "0007404e7970002a",
            "device-7/web@2026-03-01T12:34:56Z#42",
        ),
        (
            device(0x0abc, DeviceType::MOBILE, 1, 0x0def),
            0x0abc_8000_0001_0def,
            "0abc800000010def",
            "device-2748/mobile@2026-01-01T00:00:01Z#3567",
        ),
        (
            device(4_095, DeviceType::DESKTOP, last_second, u16::MAX),
            0x0fff_ffff_ffff_ffff,
            "0fffffffffffffff",
            "device-4095/desktop@2060-01-10T13:37:03Z#65535",
        ),
    ] {
        assert_eq!(id.as_u64(), bits);
        assert_eq!(id.to_string(), plain);
        assert_eq!(format!("{id:?}"), format!("DeviceId({plain})"));
        assert_eq!(format!("{id:#}"), described);
        assert_eq!(plain.parse(), Ok(id));
    }
}

#[test]
fn node_ids_have_these_bits() {
    for (id, bits, plain, described) in [
        (
            node(NodeType::Connector, 0, [0, 0, 0, 0], 0),
            0x1000_0000_0000_0000,
            "1000000000000000",
            "connector-0@0.0.0.0:0",
        ),
        (
            node(NodeType::Channel, 7, [10, 0, 0, 1], 7_500),
            0x2007_0a00_0001_1d4c,
            "20070a0000011d4c",
            "channel-7@10.0.0.1:7500",
        ),
        (
            node(NodeType::Channel, 4_095, [255, 255, 255, 255], u16::MAX),
            0x2fff_ffff_ffff_ffff,
            "2fffffffffffffff",
            "channel-4095@255.255.255.255:65535",
        ),
    ] {
        assert_eq!(id.as_u64(), bits);
        assert_eq!(id.to_string(), plain);
        assert_eq!(format!("{id:?}"), format!("NodeId({plain})"));
        assert_eq!(format!("{id:#}"), described);
        assert_eq!(plain.parse(), Ok(id));
    }
}

#[test]
fn the_epoch_is_new_year_2026_and_dates_know_leap_days() {
    assert_eq!(PROJECT_EPOCH_UNIX_SECS, 1_767_225_600);
    for (unix_secs, date) in [
        (1_835_395_199, "2028-02-28T23:59:59Z#0"),
        (1_835_395_200, "2028-02-29T00:00:00Z#0"),
        (1_835_481_600, "2028-03-01T00:00:00Z#0"),
        (1_861_919_999, "2028-12-31T23:59:59Z#0"),
        (1_861_920_000, "2029-01-01T00:00:00Z#0"),
    ] {
        let seconds = u32::try_from(unix_secs - PROJECT_EPOCH_UNIX_SECS).unwrap();
        let stamp = Stamp::new(seconds, 0).unwrap();
        assert_eq!(stamp.to_string(), date);
        assert_eq!(stamp.unix_secs(), unix_secs);
    }
}

#[test]
fn a_malformed_number_says_what_is_wrong() {
    let device = NodeType::Device;
    let connector = NodeType::Connector;
    for (bits, error) in [
        (0x8000_0000_0000_0000, IdError::LeadingBit),
        (0x3000_0000_0000_0000, IdError::UnknownNodeType { code: 3 }),
        (0x7fff_ffff_ffff_ffff, IdError::UnknownNodeType { code: 7 }),
    ] {
        assert_eq!(DeviceId::from_u64(bits), Err(error));
        assert_eq!(NodeId::from_u64(bits), Err(error));
    }
    let found = |found| IdError::WrongNodeType { found };
    assert_eq!(DeviceId::from_u64(1 << 60), Err(found(connector)));
    assert_eq!(NodeId::from_u64(1), Err(found(device)));
    let number = WorkerNumber::MAX;
    assert_eq!(NodeId::new(device, number, Ipv4Addr::LOCALHOST, 1), Err(found(device)));
}

#[test]
fn a_malformed_text_says_what_is_wrong() {
    for (text, error) in [
        ("", ParseIdError::Length { found: 0 }),
        ("0007404e7970002", ParseIdError::Length { found: 15 }),
        ("0007404e7970002a0", ParseIdError::Length { found: 17 }),
        ("0007404E7970002a", ParseIdError::Digit { at: 7 }),
        ("+007404e7970002a", ParseIdError::Digit { at: 0 }),
        ("0007404e7970002 ", ParseIdError::Digit { at: 15 }),
        ("0007404e797000é", ParseIdError::Digit { at: 14 }),
        ("8007404e7970002a", ParseIdError::Id(IdError::LeadingBit)),
    ] {
        assert_eq!(text.parse::<DeviceId>(), Err(error), "{text:?}");
        assert_eq!(text.parse::<NodeId>(), Err(error), "{text:?}");
    }
}

#[test]
fn a_field_that_does_not_fit_is_refused() {
    let error = |field, value, max| OutOfRange { field, value, max };
    assert_eq!(WorkerNumber::new(4_096), Err(error("worker number", 4_096, 4_095)));
    assert_eq!(DeviceType::new(4), Err(error("device type", 4, 3)));
    assert_eq!(Stamp::new(1 << 30, 0), Err(error("second", 1 << 30, (1 << 30) - 1)));
    assert_eq!(WorkerNumber::new(4_096).unwrap_err().to_string(), "worker number 4096 is above 4095");
}
