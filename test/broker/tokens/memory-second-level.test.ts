import { movableClock } from '../../support/clock.ts'
import { MemorySecondLevel, MemoryStore } from '../../support/memory-second-level.ts'
import { describeSecondLevel } from './second-level-contract.ts'

const memory = (replica: unknown): MemorySecondLevel => {
  if (replica instanceof MemorySecondLevel) return replica
  throw new Error('a replica of another store')
}

describeSecondLevel('the second level in memory, which tests use', () => {
  const clock = movableClock()
  const store = new MemoryStore(clock)
  return Promise.resolve({
    clock,
    replica: () => Promise.resolve(store.replica()),
    cutOff: async replica => memory(replica).cutOff(),
    reconnect: async replica => memory(replica).reconnect(),
    expireLeases: async () => store.expireLeases(),
    restart: async () => store.restart(),
  })
})
