import { expect, test } from 'vitest'
import { runCli } from '../support/cli.js'
import { echoes, openEcho } from '../support/echo.js'
import { checked, keepSecret } from '../support/operator.js'

const signature = 'c2VjcmV0c2lnbmF0dXJl'
keepSecret(signature)
const env = { AZURE_STORAGE_SAS_TOKEN: `?sv=2021-08-06&sr=c&sig=${signature}%3D` }

test.each(echoes)('a SAS that comes back in %s is not shown', async (_name, answer) => {
  const at = ['--container', 'certs', '--endpoint', await openEcho(answer)]
  for (const command of [['ls'], ['show', 'a.example']]) {
    const [name, ...rest] = command as [string, ...string[]]
    const { code, stderr } = checked(await runCli([name, ...at, ...rest], { env }))
    expect({ command, code }).toEqual({ command, code: 1 })
    expect(stderr).toMatch(/^acme-cert-cache: [^\n]+\n$/)
  }
})
