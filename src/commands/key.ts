import { randomBytes } from 'node:crypto'
import { isName } from '../broker/lib/identifiers.ts'
import { keyHash, keyOf } from '../broker/authentication/new-key.ts'
import { exitCodes } from '../exit.ts'
import { usage, type Command } from './command.ts'

const name = 'key new'
const day = 86_400_000
const defaultDays = 365
const mostDays = 1095

export const newKeyCommand: Command = {
  name,
  takes: ['NAME'],
  about:
    'make an API key for a caller. Prints the key, which is shown this once and kept nowhere,\n' +
    'and the lines for the policy, which hold its SHA-256 only.',
  options: {
    days: { type: 'string', value: 'N', help: `days from today for which it works, 1 to ${mostDays}; ${defaultDays}` },
  },
  exits: [
    [exitCodes.stopped, 'the key was printed'],
    [exitCodes.usage, 'wrong usage of this command'],
  ],
  run: ({ taken: [keyName = ''], options, out, now }) => {
    if (!isName(keyName)) {
      throw usage(`"${keyName}" is not a name: use lower-case letters, digits, dots and hyphens, 63 at most`, name)
    }
    const { days = String(defaultDays) } = options
    const life = /^[1-9]\d{0,3}$/.test(String(days)) ? Number(days) : Number.NaN
    if (!(life <= mostDays)) throw usage(`--days must be a whole number from 1 to ${mostDays}`, name)
    const expires = new Date(now() + life * day).toISOString().slice(0, 10)
    const key = keyOf(randomBytes(32))
    const lines = `apiKeys:\n  ${keyName}: { sha256: ${keyHash(key)}, expires: ${expires} }`
    out(`The key, shown this once:\n\n${key}\n\nFor the policy (it works until ${expires}, 00:00 UTC):\n\n${lines}\n`)
    return Promise.resolve(exitCodes.stopped)
  },
}
