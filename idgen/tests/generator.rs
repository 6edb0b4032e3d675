//! What one generator answers in each situation, one example each.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use whimbrel_idgen::{
    Clock, DeviceId, DeviceType, FloorError, GenerateError, Generator, MAX_WAIT_MILLIS, ManualClock,
    PROJECT_EPOCH_UNIX_SECS, Stamp, SystemClock, WorkerNumber,
};

const EPOCH_MILLIS: i64 = PROJECT_EPOCH_UNIX_SECS * 1_000;
const SECOND: i64 = 1_000;

fn worker() -> WorkerNumber {
    WorkerNumber::new(7).unwrap()
}

fn id(seconds: u32, counter: u16) -> DeviceId {
    let stamp = Stamp::new(seconds, counter).unwrap();
    DeviceId::new(worker(), DeviceType::DEFAULT, stamp)
}

/// A generator that continues above (seconds, counter).
fn above(seconds: u32, counter: u16) -> Generator {
    Generator::new(worker(), Some(id(seconds, counter))).unwrap()
}

fn generate(generator: &mut Generator, since_epoch_millis: i64) -> Result<DeviceId, GenerateError> {
    generator.generate(DeviceType::DEFAULT, EPOCH_MILLIS + since_epoch_millis)
}

#[test]
fn the_counter_counts_within_a_second_and_starts_over_in_the_next() {
    let mut generator = Generator::new(worker(), None).unwrap();
    assert_eq!(generator.worker(), worker());
    assert_eq!(generate(&mut generator, 100 * SECOND), Ok(id(100, 0)));
    assert_eq!(generate(&mut generator, 100 * SECOND + 999), Ok(id(100, 1)));
    assert_eq!(generate(&mut generator, 101 * SECOND), Ok(id(101, 0)));
}

#[test]
fn a_second_holds_65536_ids_and_then_asks_to_wait_for_the_next() {
    let mut generator = Generator::new(worker(), None).unwrap();
    for counter in 0..=u16::MAX {
        assert_eq!(generate(&mut generator, 100 * SECOND + 250), Ok(id(100, counter)));
    }
    let wait = GenerateError::Wait { millis: 750 };
    assert_eq!(generate(&mut generator, 100 * SECOND + 250), Err(wait));
    assert_eq!(generate(&mut generator, 101 * SECOND), Ok(id(101, 0)));
}

#[test]
fn device_types_share_one_counter() {
    let mut generator = Generator::new(worker(), None).unwrap();
    let now = EPOCH_MILLIS + 100 * SECOND;
    let desktop = generator.generate(DeviceType::DESKTOP, now).unwrap();
    let web = generator.generate(DeviceType::WEB, now).unwrap();
    assert_eq!((desktop.stamp().counter(), web.stamp().counter()), (0, 1));
    assert!(web < desktop, "as numbers they do not order by age");
}

#[test]
fn a_clock_a_little_behind_waits_and_then_continues_the_second() {
    let mut generator = above(100, 3);
    let wait = GenerateError::Wait { millis: 1 };
    assert_eq!(generate(&mut generator, 100 * SECOND - 1), Err(wait));
    let wait = GenerateError::Wait { millis: MAX_WAIT_MILLIS };
    assert_eq!(generate(&mut generator, 95 * SECOND), Err(wait));
    assert_eq!(generate(&mut generator, 100 * SECOND), Ok(id(100, 4)));
}

#[test]
fn a_clock_far_behind_is_refused_until_it_is_right_again() {
    let mut generator = above(4_000, 3);
    let behind = GenerateError::ClockBehind { behind_secs: 6 };
    assert_eq!(generate(&mut generator, 3_995 * SECOND - 1), Err(behind));
    let behind = GenerateError::ClockBehind { behind_secs: 3_600 };
    assert_eq!(generate(&mut generator, 400 * SECOND), Err(behind));
    assert_eq!(generate(&mut generator, 4_000 * SECOND), Ok(id(4_000, 4)));
}

#[test]
fn a_floor_at_the_end_of_its_second_continues_in_the_next() {
    let mut generator = above(100, u16::MAX);
    let wait = GenerateError::Wait { millis: 1_000 };
    assert_eq!(generate(&mut generator, 100 * SECOND), Err(wait));
    assert_eq!(generate(&mut generator, 101 * SECOND), Ok(id(101, 0)));
}

#[test]
fn the_device_type_of_the_floor_is_of_no_account() {
    let stamp = Stamp::new(100, 3).unwrap();
    let floor = DeviceId::new(worker(), DeviceType::DESKTOP, stamp);
    let mut generator = Generator::new(worker(), Some(floor)).unwrap();
    assert_eq!(generate(&mut generator, 100 * SECOND), Ok(id(100, 4)));
}

#[test]
fn a_floor_of_another_worker_is_refused() {
    let error = Generator::new(WorkerNumber::MAX, Some(id(100, 3))).unwrap_err();
    let (worker, floor) = (WorkerNumber::MAX, worker());
    assert_eq!(error, FloorError { worker, floor });
}

#[test]
fn a_clock_outside_the_30_bits_is_refused() {
    let mut generator = Generator::new(worker(), None).unwrap();
    let end = (i64::from(Stamp::MAX_SECONDS) + 1) * SECOND;
    assert_eq!(generate(&mut generator, -1), Err(GenerateError::BeforeEpoch));
    assert_eq!(generate(&mut generator, end), Err(GenerateError::AfterEnd));
    for (now, error) in [(i64::MIN, GenerateError::BeforeEpoch), (i64::MAX, GenerateError::AfterEnd)] {
        assert_eq!(generator.generate(DeviceType::DEFAULT, now), Err(error));
    }
    let last_second = generate(&mut generator, end - 1);
    assert_eq!(last_second, Ok(id(Stamp::MAX_SECONDS, 0)), "refusals changed nothing");
}

#[test]
fn after_the_last_stamp_there_is_none() {
    let mut generator = above(Stamp::MAX_SECONDS, u16::MAX - 1);
    let last_second = i64::from(Stamp::MAX_SECONDS) * SECOND;
    let last = generate(&mut generator, last_second).unwrap();
    assert_eq!(last.stamp(), Stamp::MAX);
    assert_eq!(generate(&mut generator, last_second), Err(GenerateError::AfterEnd));
    assert_eq!(generate(&mut generator, 0), Err(GenerateError::AfterEnd));
    let mut restarted = Generator::new(worker(), Some(last)).unwrap();
    assert_eq!(generate(&mut restarted, last_second), Err(GenerateError::AfterEnd));
}

#[test]
fn zero_is_never_handed_out() {
    let zero = WorkerNumber::new(0).unwrap();
    let mut generator = Generator::new(zero, None).unwrap();
    assert_eq!(generate(&mut generator, 0).map(u64::from), Ok(1));
}

#[test]
fn clocks_tell_milliseconds() {
    let clock = Arc::new(ManualClock::new(5));
    let shared: Arc<dyn Clock> = clock.clone();
    clock.advance(-7);
    assert_eq!(shared.unix_millis(), -2);
    clock.set(9);
    assert_eq!((shared.unix_millis(), clock.unix_millis()), (9, 9));
    assert!(SystemClock.unix_millis() > 1_700_000_000_000, "this machine knows it is after 2023");
}
