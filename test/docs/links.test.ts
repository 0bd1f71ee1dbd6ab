import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, test } from 'node:test'
import { anchorsOf, pages } from './tables.ts'
import { read } from '../support/sources.ts'

const root = join(import.meta.dirname, '../..')

describe('every link and file name on a page leads to something that exists', () => {
  for (const page of pages()) {
    const text = read(page)
    test(`${page}: links`, () => {
      for (const [, path = '', anchor] of text.matchAll(/\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]*))?\)/g)) {
        const target = path === '' ? page : normalize(join(dirname(page), path))
        assert.ok(existsSync(join(root, target)), target)
        if (anchor !== undefined) assert.ok(anchorsOf(read(target)).has(anchor), `${target}#${anchor}`)
      }
    })

    test(`${page}: files of the project by their names`, () => {
      for (const [, path = ''] of text.matchAll(/`((?:src|test|emulator|scripts|bench|docs)\/[\w./-]+\.\w+)`/g))
        assert.ok(existsSync(join(root, path)), path)
    })
  }
})
