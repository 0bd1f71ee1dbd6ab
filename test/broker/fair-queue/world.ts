import {
  createFairQueue,
  type QueuedTask,
  type FairQueueOptions,
} from '../../../src/broker/tokens/fair-queue/fair-queue.ts'

/** Lets all pending promises settle. */
export const settled = () => new Promise(resolve => setImmediate(resolve))

interface QueueWorldOptions extends Partial<Omit<FairQueueOptions, 'limit'>> {
  readonly limit?: number | (() => number)
}

/** A queue of tasks that run until a test ends them. `started` has the names of the started tasks, in order. */
export function queueWorld({ limit = 1, ...options }: QueueWorldOptions = {}) {
  const queue = createFairQueue({
    limit: typeof limit === 'number' ? () => limit : limit,
    overloaded: () => new Error('overloaded'),
    ...options,
  })
  const started: string[] = []
  const abandoned: string[] = []
  const running = new Map<string, PromiseWithResolvers<string>>()
  const makeTask = (name: string): QueuedTask<string> =>
    queue.task(
      () => {
        started.push(name)
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
    queue,
    started,
    abandoned,
    makeTask,
    end,
    /** Makes a task, and lets a caller join it. */
    add: (caller: string, name = `${caller}${started.length}`, background = false) => {
      const task = makeTask(name)
      return { task, leave: task.join(caller, background) }
    },
    /** Ends the running task that started first, `times` times. */
    endFirst: async (times = 1) => {
      for (let n = 0; n < times; n++) {
        const [first] = running.keys()
        if (first !== undefined) await end(first)
      }
    },
    /** Ends all running tasks, and those that start meanwhile. */
    endAll: async () => {
      for (const name of running.keys()) await end(name)
    },
  }
}
