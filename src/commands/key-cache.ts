import { randomBytes } from 'node:crypto'
import { exitCodes } from '../exit.ts'
import type { Command } from './command.ts'

/** `token-broker key cache`: makes a key for the shared cache and stores it nowhere. */
export const cacheKeyCommand: Command = {
  name: 'key cache',
  takes: [],
  about:
    'create a key that encrypts the cache which replicas share. It prints one line for the file of\n' +
    'BROKER_CACHE_KEY_FILE: an id, and 32 random bytes in base64. It is stored nowhere.',
  options: {},
  exits: [
    [exitCodes.stopped, 'the line was printed'],
    [exitCodes.usage, 'wrong usage of this command'],
  ],
  printsCredential: true,
  run: ({ out, now }) => {
    const date = new Date(now()).toISOString().slice(0, 10).replaceAll('-', '')
    // The random part distinguishes keys of one day.
    const kid = `${date}${randomBytes(2).toString('hex')}`
    out(`${kid}:${randomBytes(32).toString('base64')}\n`)
    return Promise.resolve(exitCodes.stopped)
  },
}
