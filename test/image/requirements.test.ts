import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runtimeFor } from '../../scripts/image/requirements.ts'

describe('the container runtime that scripts/image.ts needs', () => {
  const table: readonly [
    controllers: string | undefined,
    installed: readonly string[],
    isMissing: boolean,
    options: string,
    why: string,
  ][] = [
    [undefined, ['crun'], false, '', 'one kind of cgroups: crun'],
    [undefined, ['runc'], false, '', 'one kind of cgroups: runc'],
    [undefined, [], true, '', 'none is installed'],
    ['\n', ['crun'], false, '', 'cgroup v2 beside v1, without controllers, as systemd mounts it for itself'],
    ['hugetlb\n', ['crun'], true, '', 'hybrid cgroups, which crun refuses'],
    ['hugetlb\n', ['runc', 'crun'], false, '--runtime=runc', 'hybrid cgroups: podman would prefer crun'],
    ['hugetlb memory\n', ['runc'], false, '--runtime=runc', 'hybrid cgroups, and runc'],
    ['hugetlb\n', [], true, '', 'hybrid cgroups, and none is installed'],
  ]
  for (const [controllers, installed, isMissing, options, why] of table)
    test(`${JSON.stringify(controllers)}, ${installed.join(' and ') || 'none'}: ${why}`, () => {
      const runtime = runtimeFor(controllers, installed)
      assert.equal(runtime.isMissing, isMissing)
      assert.equal(runtime.options.join(' '), options)
      if (controllers !== undefined && isMissing) {
        assert.match(runtime.reason ?? '', /^runc: crun does not run containers on hybrid cgroups.*\(hugetlb\)$/)
      }
    })
})
