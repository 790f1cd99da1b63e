import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { accessTo, runCli } from '../support/cli.js'
import { openProxy } from '../support/proxy.js'
import { openOperator } from './in-process.js'

export interface StoppableRun {
  readonly child: ChildProcess
  /** Sends a signal, and resolves when the process has received it. */
  signal(name: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): Promise<void>
}

/**
 * Runs doctor in a process, and calls `stop` while doctor writes its first blob; the request goes on when `stop` has
 * resolved.
 */
export async function runDoctorAndStop(stop: (run: StoppableRun) => Promise<unknown>) {
  const { connect, keys } = await openOperator()
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-stop-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const received = (name: string) => join(folder, name)
  // Runs before the command's own handlers, which are added later.
  const preload = `import { writeFileSync } from 'node:fs'
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(name, () => writeFileSync(${JSON.stringify(received(''))} + '/' + name, ''))`
  const requests: string[] = []
  let child: ChildProcess | undefined
  let isStopped = false
  const HTTP_PROXY = await openProxy(async (method, path) => {
    requests.push(`${method} ${path}`)
    if (isStopped || method !== 'PUT' || !path.includes('/doctor-')) return
    isStopped = true
    const started = child as ChildProcess
    await stop({
      child: started,
      async signal(name) {
        started.kill(name)
        await expect.poll(() => existsSync(received(name))).toBe(true)
      },
    })
  })
  const { flags, env } = accessTo(connect.containerName, 'http://store.invalid/fleet')
  const result = await runCli(['doctor', ...flags, '--directory', 'https://127.0.0.1:1/directory'], {
    env: { ...env, HTTP_PROXY },
    node: ['--import', `data:text/javascript,${encodeURIComponent(preload)}`],
    onStart: (started) => {
      child = started
    },
  })
  return { ...result, requests, keys: await keys() }
}
