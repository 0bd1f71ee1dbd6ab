import { randomBytes } from 'node:crypto'

/** Ids that are unique across replicas and cheap: a random prefix per process and a counter. */
export function requestIds(): () => string {
  const prefix = randomBytes(6).toString('hex')
  let count = 0
  return () => `${prefix}-${(++count).toString(36)}`
}
