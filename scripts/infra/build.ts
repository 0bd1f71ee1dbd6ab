import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packageRoot } from '../../src/service/package.ts'
import { bicepVersion, findBicep, openWorkshop, withoutBicep } from './bicep.ts'
import { compile, recordOf, recordPath } from './compiled.ts'
import { withTable } from './parameter-table.ts'

/**
 * `npm run infra` compiles infra/main.bicep, and writes the snapshots of both sets of parameters and the table of parameters
 * in infra/README.md.
 */
const bicep = findBicep()
if (bicep?.version !== bicepVersion) {
  console.error(
    bicep === undefined ? withoutBicep : `needs Bicep ${bicepVersion}; ${bicep.command} is ${bicep.version}`,
  )
  process.exit(1)
}
const workshop = await openWorkshop(bicep)
try {
  const files = await compile(workshop)
  for (const [path, text] of [...files, [recordPath, recordOf(files)] as const])
    await writeFile(join(packageRoot, path), text)
  const readme = join(packageRoot, 'infra/README.md')
  const compiled: unknown = JSON.parse(files.get('infra/main.json') ?? '')
  await writeFile(readme, withTable(await readFile(readme, 'utf8'), compiled))
} finally {
  await workshop.close()
}
