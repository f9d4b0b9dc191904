//! What a task asks of a machine, counted in the worker's slots.
//!
//! A slot stands for an equal share of its machine: with 8 slots on 16 cores and
//! 64 GiB, two cores and 8 GiB. A task that asks for more than one share takes as
//! many slots as cover it. So one number says what fits on a worker, and
//! tasks that ask for nothing and tasks that ask for much share one machine
//! without ever promising the same core or the same byte twice.

use super::task::TaskSpec;
use super::worker::Machine;

/// What a task asks for. Zero: no more than its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Demand {
    /// Processor cores.
    pub cpu: u32,
    /// Main memory, MiB, rounded up.
    pub memory_mib: u32,
}

impl Demand {
    #[must_use]
    pub fn of(spec: &TaskSpec) -> Self {
        let memory_mib = spec.memory.unwrap_or(0).div_ceil(1 << 20);
        Self {
            cpu: spec.cpu.unwrap_or(0),
            memory_mib: u32::try_from(memory_mib).unwrap_or(u32::MAX),
        }
    }

    /// The slots that it takes on a machine with so many: at least one, and at
    /// most all. None: the whole machine is too small for it.
    #[must_use]
    pub fn slots_on(self, machine: &Machine, concurrency: u32) -> Option<u32> {
        let memory_mib = machine.memory_bytes >> 20;
        let cpu = share(self.cpu.into(), machine.cores.into(), concurrency)?;
        let memory = share(self.memory_mib.into(), memory_mib, concurrency)?;
        Some(cpu.max(memory).max(1))
    }
}

/// Slots that cover so much of the whole, of which there are `slots`.
fn share(wanted: u64, whole: u64, slots: u32) -> Option<u32> {
    if wanted == 0 {
        return Some(0);
    }
    if wanted > whole {
        return None;
    }
    let product = u128::from(wanted) * u128::from(slots);
    u32::try_from(product.div_ceil(u128::from(whole))).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn machine(cores: u32, gib: u64) -> Machine {
        Machine { cores, memory_bytes: gib << 30, ..Machine::default() }
    }

    #[test]
    fn a_demand_takes_the_slots_that_cover_it() {
        let slots = |cpu, gib: u32, concurrency| {
            Demand { cpu, memory_mib: gib << 10 }.slots_on(&machine(16, 64), concurrency)
        };
        assert_eq!(slots(0, 0, 8), Some(1), "nothing asked for is one slot");
        assert_eq!(slots(2, 8, 8), Some(1), "a slot's share is one slot");
        assert_eq!(slots(3, 8, 8), Some(2));
        assert_eq!(slots(1, 33, 8), Some(5), "the scarcer of both counts");
        assert_eq!(slots(16, 64, 8), Some(8));
        assert_eq!(slots(17, 0, 8), None, "more than the machine has");
        assert_eq!(slots(16, 0, 1), Some(1), "the only slot is the whole machine");
        assert_eq!(slots(1, 0, 32), Some(2), "with more slots than cores a core is several");
    }

    proptest! {
        #[test]
        fn what_fits_in_the_slots_fits_in_the_machine(
            cores in 1..256_u32,
            concurrency in 1..512_u32,
            demands in prop::collection::vec(0..256_u32, 0..40),
        ) {
            let machine = machine(cores, 1);
            let (mut taken, mut promised) = (0, 0);
            for cpu in demands {
                let demand = Demand { cpu, memory_mib: 0 };
                if let Some(slots) = demand.slots_on(&machine, concurrency)
                    && taken + slots <= concurrency
                {
                    taken += slots;
                    promised += cpu;
                }
            }
            prop_assert!(promised <= cores);
        }
    }
}
