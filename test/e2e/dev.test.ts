import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { devHelp, readDevOptions } from '../../emulator/dev-options.ts'
import type { Environment } from '../../src/config/environment.ts'
import { ExitError } from '../../src/exit.ts'

describe('npm run dev refuses what it cannot use, before anything starts', () => {
  const rows: readonly (readonly [args: readonly string[], environment: Environment, code: number, says: RegExp])[] = [
    [[], { PORT: 'abc' }, 3, /PORT: must be a whole number from 0 to 65535; got "abc"/],
    [[], { PORT: '65536' }, 3, /PORT: must be a whole number from 0 to 65535; got "65536"/],
    [[], { PORT: '-1' }, 3, /PORT/],
    [[], { PORT: '8080 ' }, 3, /PORT/],
    [[], { PORT: '1', MANAGEMENT_PORT: '1e3' }, 3, /MANAGEMENT_PORT: must be a whole number/],
    [[], { MANAGEMENT_PORT: '0' }, 3, /MANAGEMENT_PORT: must not be 0/],
    [['--frob'], {}, 2, /Unknown option '--frob'\nTry: npm run dev -- --help/],
    [['8081'], {}, 2, /Unexpected argument '8081'/],
    [['--replicas', '0'], {}, 2, /--replicas must be a whole number from 1 to 9; got "0"/],
    [['--replicas', '10'], {}, 2, /--replicas must be/],
    [['--replicas', '2'], { MANAGEMENT_PORT: '9090' }, 3, /MANAGEMENT_PORT: cannot be used with --replicas/],
  ]
  for (const [args, environment, code, says] of rows)
    test(`${JSON.stringify(environment)} npm run dev -- ${args.join(' ')}`, () => {
      assert.throws(
        () => readDevOptions(args, environment),
        (thrown: unknown) => thrown instanceof ExitError && thrown.exitCode === code && says.test(thrown.message),
      )
    })
})

test('npm run dev takes the port of PORT, 8080 by default, and the probes where they are', () => {
  assert.deepEqual(readDevOptions([], {}), {
    help: false,
    tls: false,
    replicas: 1,
    faults: false,
    port: 8080,
    probes: undefined,
  })
  const { port, probes } = readDevOptions([], { PORT: '0', MANAGEMENT_PORT: '9090' })
  assert.deepEqual([port, probes], [0, { host: '127.0.0.1', port: 9090 }])
  assert.equal(readDevOptions(['--help'], { PORT: '1' }).help, true)
  assert.equal(readDevOptions(['--tls'], {}).tls, true)
  assert.equal(readDevOptions(['--replicas', '3'], {}).replicas, 3)
  assert.equal(readDevOptions(['--faults'], {}).faults, true)
  assert.match(devHelp, /^Usage: npm run dev -- \[options\]$/m)
})
