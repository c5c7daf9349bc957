//! Network coordinates: Vivaldi with heights, adjustment, gravity and a median filter, as Serf computes them.

use crate::wire::msgpack::{DecodeError, Reader, Writer};
use rand::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const DIMENSION: usize = 8;
const ERROR_MAX: f64 = 1.5;
const CE: f64 = 0.25;
const CC: f64 = 0.25;
const WINDOW: usize = 20;
const HEIGHT_MIN: f64 = 10.0e-6;
const FILTER: usize = 3;
const RHO: f64 = 150.0;
const ZERO: f64 = 1.0e-6;
/// Round trips longer than this are not believed.
const MAX_RTT: Duration = Duration::from_secs(10);
/// The byte before a coordinate in an answer to a ping.
const VERSION: u8 = 1;

/// A place in the network; distances between places are estimates of round trips, in seconds.
#[derive(Clone, PartialEq, Debug)]
pub struct Coordinate {
    /// The place.
    pub vec: [f64; DIMENSION],
    /// How sure it is; 1.5 is not at all.
    pub error: f64,
    /// What the model cannot express.
    pub adjustment: f64,
    /// What lies between a member and the core of the network.
    pub height: f64,
}

impl Default for Coordinate {
    fn default() -> Self {
        Coordinate { vec: [0.0; DIMENSION], error: ERROR_MAX, adjustment: 0.0, height: HEIGHT_MIN }
    }
}

impl Coordinate {
    fn is_valid(&self) -> bool {
        self.vec.iter().chain([&self.error, &self.adjustment, &self.height]).all(|x| x.is_finite())
    }

    fn raw_distance(&self, other: &Coordinate) -> f64 {
        magnitude(&difference(&self.vec, &other.vec)) + self.height + other.height
    }

    fn distance_seconds(&self, other: &Coordinate) -> f64 {
        let raw = self.raw_distance(other);
        let adjusted = raw + self.adjustment + other.adjustment;
        let seconds = if adjusted > 0.0 { adjusted } else { raw };
        // cut to whole nanoseconds, as a Go duration is
        (seconds * 1.0e9).trunc() / 1.0e9
    }

    /// The estimated round trip between two places.
    pub fn distance(&self, other: &Coordinate) -> Duration {
        Duration::try_from_secs_f64(self.distance_seconds(other)).unwrap_or(Duration::MAX)
    }

    fn apply_force(&mut self, rng: &mut impl Rng, force: f64, other: &Coordinate) {
        let (unit, mag) = unit_vector(rng, &self.vec, &other.vec);
        for (x, u) in self.vec.iter_mut().zip(unit) {
            *x += u * force;
        }
        if mag > ZERO {
            self.height = HEIGHT_MIN.max((self.height + other.height) * force / mag + self.height);
        }
    }

    /// The payload of an answer to a ping.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::typed(VERSION);
        w.map(4).str("Adjustment").float(self.adjustment).str("Error").float(self.error);
        w.str("Height").float(self.height).str("Vec").array(DIMENSION);
        for x in self.vec {
            w.float(x);
        }
        w.finish()
    }

    /// Reads the payload of an answer to a ping.
    ///
    /// # Errors
    /// Another version, shape or dimension.
    pub fn decode(payload: &[u8]) -> Result<Coordinate, DecodeError> {
        let mut r = Reader::new(payload);
        match r.byte()? {
            VERSION => {}
            other => return Err(DecodeError::UnknownType(other)),
        }
        let mut c = Coordinate::default();
        let mut dimension = 0;
        r.fields(|key, r| {
            match key {
                "Adjustment" => c.adjustment = r.float()?,
                "Error" => c.error = r.float()?,
                "Height" => c.height = r.float()?,
                "Vec" => {
                    dimension = r.array()? as usize;
                    if dimension != DIMENSION {
                        return Err(DecodeError::Range("dimension"));
                    }
                    for x in &mut c.vec {
                        *x = r.float()?;
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if dimension == DIMENSION { Ok(c) } else { Err(DecodeError::Range("dimension")) }
    }
}

fn difference(a: &[f64; DIMENSION], b: &[f64; DIMENSION]) -> [f64; DIMENSION] {
    std::array::from_fn(|i| a[i] - b[i])
}

fn magnitude(v: &[f64; DIMENSION]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn unit_vector(rng: &mut impl Rng, a: &[f64; DIMENSION], b: &[f64; DIMENSION]) -> ([f64; DIMENSION], f64) {
    let v = difference(a, b);
    let mag = magnitude(&v);
    if mag > ZERO {
        return (v.map(|x| x / mag), mag);
    }
    // on the same spot: any direction will do
    let v: [f64; DIMENSION] = std::array::from_fn(|_| rng.random::<f64>() - 0.5);
    let mag = magnitude(&v);
    if mag > ZERO {
        return (v.map(|x| x / mag), 0.0);
    }
    (std::array::from_fn(|i| f64::from(u8::from(i == 0))), 0.0)
}

/// A member's own place, and what it knows of others'.
#[derive(Debug)]
pub struct Coordinates {
    own: Coordinate,
    window: [f64; WINDOW],
    next: usize,
    samples: BTreeMap<Arc<str>, Vec<f64>>,
    cache: BTreeMap<Arc<str>, Coordinate>,
    resets: u64,
}

impl Default for Coordinates {
    fn default() -> Self {
        Coordinates {
            own: Coordinate::default(),
            window: [0.0; WINDOW],
            next: 0,
            samples: BTreeMap::new(),
            cache: BTreeMap::new(),
            resets: 0,
        }
    }
}

impl Coordinates {
    /// The own place.
    pub fn own(&self) -> &Coordinate {
        &self.own
    }

    /// The place last heard of for a member.
    pub fn cached(&self, name: &str) -> Option<&Coordinate> {
        self.cache.get(name)
    }

    /// How often the own place had to be reset because it was no number any more.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Forgets a member.
    pub fn forget(&mut self, name: &str) {
        self.samples.remove(name);
        self.cache.remove(name);
    }

    /// A round trip to a member at `other` was measured. False if it was not believed.
    pub fn update(&mut self, rng: &mut impl Rng, name: &Arc<str>, other: Coordinate, rtt: Duration) -> bool {
        if !other.is_valid() || rtt > MAX_RTT {
            return false;
        }
        let rtt = self.filtered(name, rtt.as_secs_f64());
        self.vivaldi(rng, &other, rtt);
        self.adjust(&other, rtt);
        self.gravity(rng);
        if !self.own.is_valid() {
            self.resets += 1;
            self.own = Coordinate::default();
        }
        self.cache.insert(name.clone(), other);
        true
    }

    fn filtered(&mut self, name: &Arc<str>, rtt: f64) -> f64 {
        let samples = self.samples.entry(name.clone()).or_default();
        samples.push(rtt);
        if samples.len() > FILTER {
            samples.remove(0);
        }
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    fn vivaldi(&mut self, rng: &mut impl Rng, other: &Coordinate, rtt: f64) {
        let distance = self.own.distance_seconds(other);
        let rtt = rtt.max(ZERO);
        let wrongness = (distance - rtt).abs() / rtt;
        let total = (self.own.error + other.error).max(ZERO);
        let weight = self.own.error / total;
        self.own.error = (CE * weight * wrongness + self.own.error * (1.0 - CE * weight)).min(ERROR_MAX);
        self.own.apply_force(rng, CC * weight * (rtt - distance), other);
    }

    fn adjust(&mut self, other: &Coordinate, rtt: f64) {
        self.window[self.next] = rtt - self.own.raw_distance(other);
        self.next = (self.next + 1) % WINDOW;
        self.own.adjustment = self.window.iter().sum::<f64>() / (2.0 * WINDOW as f64);
    }

    fn gravity(&mut self, rng: &mut impl Rng) {
        let origin = Coordinate::default();
        let distance = origin.distance_seconds(&self.own);
        let force = -(distance / RHO).powi(2);
        self.own.apply_force(rng, force, &origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{hex, to_hex};
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn a_fresh_coordinate_has_the_captured_bytes() {
        let raw = "0184aa41646a7573746d656e74cb0000000000000000a54572726f72cb3ff8000000000000a648656967687\
            4cb3ee4f8b588e368f1a356656398cb0000000000000000cb0000000000000000cb0000000000000000cb000000000000\
            0000cb0000000000000000cb0000000000000000cb0000000000000000cb0000000000000000";
        let fresh = Coordinate::default();
        assert_eq!(to_hex(&fresh.encode()), to_hex(&hex(raw)));
        assert_eq!(Coordinate::decode(&hex(raw)), Ok(fresh));
        assert!(Coordinate::decode(&[2, 0x80]).is_err());
        assert!(Coordinate::decode(&[1, 0x80]).is_err());
    }

    #[test]
    fn three_in_a_line_find_their_distances() {
        let mut rng = SmallRng::seed_from_u64(7);
        let places: [f64; 3] = [0.0, 0.03, 0.08];
        let names: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).to_vec();
        let mut all: Vec<Coordinates> = (0..3).map(|_| Coordinates::default()).collect();
        for _ in 0..2000 {
            for i in 0..3 {
                for j in 0..3 {
                    if i != j {
                        let rtt = Duration::from_secs_f64((places[i] - places[j]).abs());
                        let other = all[j].own().clone();
                        assert!(all[i].update(&mut rng, &names[j], other, rtt));
                    }
                }
            }
        }
        for (i, j, want) in [(0, 1, 0.03), (1, 2, 0.05), (0, 2, 0.08)] {
            let got = all[i].own().distance(all[j].own()).as_secs_f64();
            assert!((got - want).abs() < 0.1 * want, "{i} {j}: {got} for {want}");
        }
    }

    #[test]
    fn nonsense_is_not_believed() {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut c = Coordinates::default();
        let name: Arc<str> = "x".into();
        let bad = Coordinate { height: f64::NAN, ..Coordinate::default() };
        assert!(!c.update(&mut rng, &name, bad, Duration::from_millis(1)));
        assert!(!c.update(&mut rng, &name, Coordinate::default(), Duration::from_secs(11)));
        let huge = Coordinate { vec: [f64::MAX; 8], ..Coordinate::default() };
        c.update(&mut rng, &name, huge, Duration::from_millis(1));
        assert!(c.own().is_valid());
    }
}
