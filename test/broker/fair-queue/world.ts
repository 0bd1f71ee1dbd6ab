import { createFairQueue, type QueuedTask, type FairQueueOptions } from '../../../src/broker/tokens/fair-queue.ts'

/** Lets everything that is under way settle. */
export const settled = () => new Promise(resolve => setImmediate(resolve))

/** Turns over work that is under way until a test ends it. `begun` has the names of what began, in order. */
export function turnsWorld(options: Partial<FairQueueOptions> = {}) {
  const turns = createFairQueue({ limit: 1, overloaded: () => new Error('overloaded'), ...options })
  const begun: string[] = []
  const abandoned: string[] = []
  const running = new Map<string, PromiseWithResolvers<string>>()
  const flight = (name: string): QueuedTask<string> =>
    turns.task(
      () => {
        begun.push(name)
        const work = Promise.withResolvers<string>()
        running.set(name, work)
        return work.promise
      },
      () => abandoned.push(name),
    )
  const end = async (name: string) => {
    running.get(name)?.resolve(name)
    running.delete(name)
    await settled()
  }
  return {
    turns,
    begun,
    abandoned,
    flight,
    end,
    /** A flight for one caller. */
    ask: (caller: string, name = `${caller}${begun.length}`, background = false) => {
      const asked = flight(name)
      return { flight: asked, leave: asked.join(caller, background) }
    },
    /** Ends what began first of what is under way, `times` times. */
    endFirst: async (times = 1) => {
      for (let n = 0; n < times; n++) {
        const [first] = running.keys()
        if (first !== undefined) await end(first)
      }
    },
    /** Ends everything that is under way or begins meanwhile. */
    endAll: async () => {
      for (const name of running.keys()) await end(name)
    },
  }
}
