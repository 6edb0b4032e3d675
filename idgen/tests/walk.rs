//! Properties of generators under clocks that jump and nodes that restart.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use whimbrel_idgen::{
    Clock, DeviceId, DeviceType, GenerateError, Generator, MAX_WAIT_MILLIS, ManualClock,
    PROJECT_EPOCH_UNIX_SECS, Stamp, WorkerNumber,
};

const EPOCH_MILLIS: i64 = PROJECT_EPOCH_UNIX_SECS * 1_000;
const END_MILLIS: i64 = EPOCH_MILLIS + (Stamp::MAX_SECONDS as i64 + 1) * 1_000;

/// One thing that happens to a node.
#[derive(Debug, Clone)]
enum Step {
    /// The clock moves, back when negative.
    Move(i64),
    /// Ids are asked for, one per device type given.
    Generate(Vec<u8>),
    /// The node restarts with the last id as its floor.
    Restart,
    /// The node restarts with a floor near the end of the last id's second, as after a large reservation.
    Reserve(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (-3_000..3_000_i64).prop_map(Step::Move),
        1 => (-3_700_000..3_700_000_i64).prop_map(Step::Move),
        4 => vec(0..=3_u8, 1..8).prop_map(Step::Generate),
        1 => Just(Step::Restart),
        1 => (u16::MAX - 4..=u16::MAX).prop_map(Step::Reserve),
    ];
    vec(step, 1..120)
}

/// Where a walk begins: anywhere, or close to either end of the time that ids can tell.
fn starts() -> impl Strategy<Value = i64> {
    prop_oneof![
        EPOCH_MILLIS..END_MILLIS,
        EPOCH_MILLIS - 5_000..EPOCH_MILLIS + 5_000,
        END_MILLIS - 5_000..END_MILLIS + 5_000,
    ]
}

/// The rule told a second way, with pairs instead of carries: what must a generator answer whose last used stamp is
/// `last`?
fn expected(last: Option<(i64, u16)>, now: i64) -> Result<(i64, u16), GenerateError> {
    if now < EPOCH_MILLIS {
        return Err(GenerateError::BeforeEpoch);
    }
    if now >= END_MILLIS || last == Some((i64::from(Stamp::MAX_SECONDS), u16::MAX)) {
        return Err(GenerateError::AfterEnd);
    }
    let second = (now - EPOCH_MILLIS) / 1_000;
    let next = match last {
        None if second == 0 => (0, 1),
        None => (second, 0),
        Some((last, _)) if last < second => (second, 0),
        Some((last, u16::MAX)) => (last + 1, 0),
        Some((last, counter)) => (last, counter + 1),
    };
    if next.0 <= second {
        return Ok(next);
    }
    let millis = u64::try_from(EPOCH_MILLIS + next.0 * 1_000 - now).unwrap();
    Err(match millis {
        0..=MAX_WAIT_MILLIS => GenerateError::Wait { millis },
        _ => GenerateError::ClockBehind { behind_secs: millis.div_ceil(1_000) },
    })
}

fn parts(id: DeviceId) -> (i64, u16) {
    (i64::from(id.stamp().seconds()), id.stamp().counter())
}

fn restart(worker: WorkerNumber, floor: Option<DeviceId>) -> Generator {
    Generator::new(worker, floor).unwrap()
}

proptest! {
    #[test]
    fn a_walk_of_the_clock_never_repeats_or_steps_back(
        number in 0..WorkerNumber::COUNT,
        start in starts(),
        steps in steps(),
    ) {
        let worker = WorkerNumber::new(number).unwrap();
        let clock = ManualClock::new(start);
        let mut generator = restart(worker, None);
        let mut floor: Option<DeviceId> = None;
        let mut seen = HashSet::new();
        for step in steps {
            match step {
                Step::Move(millis) => clock.advance(millis),
                Step::Restart => generator = restart(worker, floor),
                Step::Reserve(counter) => {
                    let last = floor.map(DeviceId::stamp);
                    let end = last.map(|last| Stamp::new(last.seconds(), counter.max(last.counter())).unwrap());
                    floor = end.map(|end| DeviceId::new(worker, DeviceType::DEFAULT, end));
                    generator = restart(worker, floor);
                }
                Step::Generate(device_types) => for code in device_types {
                    let device_type = DeviceType::new(code).unwrap();
                    let now = clock.unix_millis();
                    let answer = generator.generate(device_type, now);
                    prop_assert_eq!(answer.map(parts), expected(floor.map(parts), now));
                    let Ok(id) = answer else { continue };
                    prop_assert_eq!((id.worker(), id.device_type()), (worker, device_type));
                    prop_assert!(floor.is_none_or(|floor| floor.stamp() < id.stamp()));
                    prop_assert!(seen.insert(id.stamp()), "{id:#} was handed out before");
                    floor = Some(id);
                }
            }
        }
    }

    #[test]
    fn a_wait_is_exactly_long_enough(
        seconds in 10..=Stamp::MAX_SECONDS - 10,
        counter in prop_oneof![any::<u16>(), Just(u16::MAX)],
        behind in 1..=MAX_WAIT_MILLIS as i64,
    ) {
        let worker = WorkerNumber::MAX;
        let floor = DeviceId::new(worker, DeviceType::WEB, Stamp::new(seconds, counter).unwrap());
        let free = floor.stamp().next().unwrap();
        let now = free.unix_secs() * 1_000 - behind;
        let mut generator = restart(worker, Some(floor));
        let millis = behind as u64;
        let mut generate = |now| generator.generate(DeviceType::WEB, now);
        prop_assert_eq!(generate(now), Err(GenerateError::Wait { millis }));
        prop_assert_eq!(generate(now + behind - 1), Err(GenerateError::Wait { millis: 1 }));
        prop_assert_eq!(generate(now + behind).map(DeviceId::stamp), Ok(free));
    }
}

proptest! {
    // Every case makes thousands of ids; a few cases of random clocks and device types are plenty.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn ids_of_all_workers_never_collide(
        rounds in vec((0..2_000_i64, 0..=3_u8), 1..8),
        start in EPOCH_MILLIS..END_MILLIS - 20_000,
    ) {
        let numbers = (0..WorkerNumber::COUNT).map(|number| WorkerNumber::new(number).unwrap());
        let mut generators: Vec<_> = numbers.map(|worker| restart(worker, None)).collect();
        let clock = ManualClock::new(start);
        let mut seen = HashSet::new();
        for &(millis, code) in &rounds {
            clock.advance(millis);
            for generator in &mut generators {
                // Neighbours ask for different device types, so that a clash through that field would show.
                let device_type = DeviceType::new((code + (generator.worker().get() % 4) as u8) % 4).unwrap();
                let id = generator.generate(device_type, clock.unix_millis()).unwrap();
                prop_assert!(seen.insert((id.worker(), id.stamp())), "{id:#} was handed out before");
            }
        }
        prop_assert_eq!(seen.len(), rounds.len() * usize::from(WorkerNumber::COUNT));
    }
}
