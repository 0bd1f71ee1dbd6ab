import { randomBytes } from 'node:crypto'
import { isName } from '../broker/lib/identifiers.ts'
import { hashKey, encodeKey } from '../broker/authentication/api-keys.ts'
import { exitCodes } from '../exit.ts'
import { usage, type Command } from './command.ts'

const name = 'key new'
const day = 86_400_000
const defaultDays = 365
const mostDays = 1095

/** `token-broker key new`: makes an API key and stores it nowhere. */
export const newKeyCommand: Command = {
  name,
  takes: ['NAME'],
  about:
    'create an API key for a caller. It prints the key, which is shown only once and stored nowhere,\n' +
    'and the lines for the policy, which contain only the SHA-256 of the key.',
  options: {
    days: {
      type: 'string',
      value: 'N',
      help: `the number of days from today until it expires, 1 to ${mostDays}; default ${defaultDays}`,
    },
  },
  exits: [
    [exitCodes.stopped, 'the key was printed'],
    [exitCodes.usage, 'wrong usage of this command'],
  ],
  printsCredential: true,
  run: ({ taken: [keyName = ''], options, out, now }) => {
    if (!isName(keyName)) {
      throw usage(`NAME must be at most 63 lower-case letters, digits, dots and hyphens; got "${keyName}"`, name)
    }
    const { days = String(defaultDays) } = options
    const life = /^[1-9]\d{0,3}$/.test(String(days)) ? Number(days) : Number.NaN
    if (!(life <= mostDays))
      throw usage(`--days must be a whole number from 1 to ${mostDays}; got "${String(days)}"`, name)
    const expires = new Date(now() + life * day).toISOString().slice(0, 10)
    const key = encodeKey(randomBytes(32))
    const lines = `apiKeys:\n  ${keyName}: { sha256: ${hashKey(key)}, expires: ${expires} }`
    out(
      `The key, which is shown only once:\n\n${key}\n\nFor the policy (the key expires on ${expires} at 00:00 UTC):\n\n${lines}\n`,
    )
    return Promise.resolve(exitCodes.stopped)
  },
}
