'use strict'
// Loaded before scripts/start.cjs when the image is built. Writes what V8 has compiled of the bundle until the process ends, to
// the file that COMPILED names.
const { writeFileSync } = require('node:fs')
const { Script } = require('node:vm')

class WrittenScript extends Script {
  /** @override */
  runInThisContext() {
    process.on('exit', () => writeFileSync(process.env['COMPILED'] ?? '', this.createCachedData()))
    return super.runInThisContext()
  }
}
require('node:vm').Script = WrittenScript
