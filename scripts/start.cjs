#!/usr/bin/env -S node --disable-sigusr1
'use strict'
// The program of the image. It runs the bundle beside it (bundle.cjs), with the code that V8 compiled of it when the image was
// built (bundle.compiled, by scripts/compiled.ts), so that nothing is compiled while the broker starts. This is CommonJS,
// because the first `import` of a module of Node reads all of its exports, some of which load more modules.
const { createHash } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { pathToFileURL } = require('node:url')
const { constants, Script } = require('node:vm')

// As src/service/startup-signals.ts, which replaces this: Node alone would ignore a signal to the first process of a container.
const stop = () => process.exit(0)
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, stop)

const digestBytes = 32

/**
 * The compiled code, if it is of this very bundle and has not been changed. V8 checks its own version, the flags and the
 * length of the source, but not the content.
 *
 * @param {Buffer} bundle
 */
function compiledOf(bundle) {
  try {
    const file = readFileSync(join(__dirname, 'bundle.compiled'))
    const code = file.subarray(digestBytes)
    const digest = createHash('sha256').update(bundle).update(code).digest()
    return digest.equals(file.subarray(0, digestBytes)) ? code : undefined
  } catch {
    return undefined
  }
}

const filename = join(__dirname, 'bundle.cjs')
const bundle = readFileSync(filename)
// The bundle is one function, in ASCII.
const script = new Script(bundle.toString('latin1'), {
  filename,
  cachedData: compiledOf(bundle),
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
})
script.runInThisContext()(require, __dirname, pathToFileURL(filename).href)
for (const signal of ['SIGTERM', 'SIGINT']) process.off(signal, stop)
