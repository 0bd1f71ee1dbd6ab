import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { nodeFlags } from '../../scripts/node-flags.ts'
import { read } from '../support/sources.ts'

/** Where a bundled broker, or the clone, is started by a line that cannot import the flags. */
const places: readonly (readonly [where: string, file: string, line: RegExp])[] = [
  ['the image', 'Dockerfile', /^ENTRYPOINT .*?node(.*)\/app\/dist\/token-broker\.cjs/m],
  ['the command in a clone', 'scripts/token-broker', /^exec "\$root\/scripts\/run\.sh"(.*)"\$root\/src\/cli\.ts"/m],
  [
    'the service of systemd',
    'examples/systemd/token-broker-agent.service',
    /^ExecStart=\S+(.*)\/opt\/token-broker\/dist\/token-broker\.cjs/m,
  ],
]

describe('Node is started with the same flags everywhere, because compiled code is for one set of flags', () => {
  for (const [where, file, line] of places)
    test(where, () => {
      const [, found = ''] = line.exec(read(file).replaceAll('\\\n', ' ')) ?? []
      assert.deepEqual(found.match(/--[\w=-]+/g), nodeFlags)
    })

  test('Node accepts them', () => {
    // Node ends with 9 at a flag that it does not know.
    const { status, stderr } = spawnSync(process.execPath, [...nodeFlags, '--eval', ''], { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
  })

  test('none of them limits the heap, which follows the memory of the container', () => {
    assert.deepEqual(
      nodeFlags.filter(flag => /old-space|heap-size/.test(flag)),
      [],
    )
  })
})
