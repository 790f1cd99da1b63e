import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { checks } from '../.ci/checks.js'
import config from '../vitest.config.js'

interface Job {
  if?: string
  'timeout-minutes'?: number
  'continue-on-error'?: unknown
  strategy?: { matrix: { group?: string[]; node?: number[] } }
  steps: { uses?: string; run?: string; if?: string; 'continue-on-error'?: unknown }[]
}

const root = new URL('../', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')
const workflow = parse(read('.github/workflows/ci.yml')) as { on: object; jobs: Record<string, Job> }
const { nightly: nightlyJob, ...jobs } = workflow.jobs
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }

const allFiles = readdirSync(fileURLToPath(new URL('test', root)), { recursive: true, encoding: 'utf8' })
  .map((name) => `test/${name.replaceAll('\\', '/')}`)
  .filter((name) => !name.includes('node_modules'))
const files = allFiles.filter((name) => /\.[\w-]+\.ts$/.test(name) && !name.endsWith('.d.ts'))

/** The suites of vitest.config.ts: the name of each with the suffix of its files. */
const suites = (config.test?.projects ?? []).map((project) => {
  const { name, include } = (project as { test: { name: string; include: string[] } }).test
  return { name, suffix: /\*(\.\w+\.ts)$/.exec(include[0] ?? '')?.[1] ?? '?' }
})

/** Whether a command runs a file: it names the project, and the file's folder or none. */
function runs(command: string, project: string, file: string): boolean {
  if (!command.includes(`--project ${project}`)) return false
  const folders = foldersOf(command)
  return folders.length === 0 || folders.some((folder) => file.startsWith(folder))
}

/** The folders, or beginnings of file names, that a command limits its suite to. */
const foldersOf = (command: string): string[] => command.match(/(?<=\s)test\/[\w/-]+/g) ?? []

test('every test file belongs to a suite', () => {
  expect(suites.length).toBeGreaterThan(5)
  expect(files.filter((file) => !suites.some(({ suffix }) => file.endsWith(suffix)))).toEqual([])
  const names = ['spec', ...suites.map(({ suffix }) => suffix.slice(1, -3))]
  const otherwise = new RegExp(`\\.(${names.join('|')})\\.[cm]?[jt]sx?$`)
  expect(allFiles.filter((file) => otherwise.test(file) && !files.includes(file))).toEqual([])
})

test('files that replace modules do not share a worker', () => {
  const replacing = files.filter((file) => /^vi\.(mock|doMock)\(/m.test(read(file)))
  expect(replacing).not.toEqual([])
  expect(replacing.filter((file) => file.endsWith('.test.ts'))).toEqual([])
})

test('every folder that a check names has a test file of its suite', () => {
  const empty = checks.flatMap(({ run }) => {
    const suite = suites.find(({ name }) => run.includes(`--project ${name}`))
    if (!suite) return []
    const own = files.filter((file) => file.endsWith(suite.suffix))
    return foldersOf(run).filter((folder) => !own.some((file) => file.startsWith(folder)))
  })
  expect(empty).toEqual([])
})

test.each(suites)('every file of the suite $name is run by a check', ({ name, suffix }) => {
  const own = files.filter((file) => file.endsWith(suffix))
  expect(own.length).toBeGreaterThan(0)
  const local = checks.filter(({ isOnlyInWorkflow }) => !isOnlyInWorkflow)
  const commands = local.map(({ run }) => (run === 'npm test' ? (scripts.test as string) : run))
  expect(own.filter((file) => !commands.some((command) => runs(command, name, file)))).toEqual([])
})

test('every claim and every id is unique', () => {
  const claims = checks.map(({ claim }) => claim)
  expect(new Set(claims).size).toBe(claims.length)
  const ids = checks.flatMap(({ id }) => id ?? [])
  expect(new Set(ids).size).toBe(ids.length)
  for (const [index, { after, group }] of checks.entries()) {
    if (after === undefined) continue
    const needed = checks.slice(0, index).filter((check) => check.group === group)
    expect(needed.map(({ id }) => id)).toContain(after)
  }
})

test('every npm script that a check runs exists', () => {
  const names = checks.flatMap(({ run }) =>
    [...run.matchAll(/npm run (?:--silent )?([\w:]+)/g)].map(([, name]) => name),
  )
  expect(names.length).toBeGreaterThan(2)
  for (const name of names) expect(scripts).toHaveProperty([name as string])
})

describe('the workflow', () => {
  const ofMatrix = '$' + '{{ matrix.group }}'
  /** The groups of checks that a job runs. */
  const groupsOf = ({ steps, strategy }: Job): string[] =>
    steps.flatMap(({ run }) => {
      const group = /--group (.+)$/.exec(run ?? '')?.[1]
      return group === ofMatrix ? (strategy?.matrix.group ?? []) : (group ?? [])
    })
  const everyJob = Object.entries(workflow.jobs)

  test('runs every group of checks on a push and a pull request, and no other', () => {
    expect(Object.keys(workflow.on)).toEqual(['push', 'pull_request', 'schedule'])
    // The workflow has a job per Node version instead of the group `versions`.
    const groups = new Set(checks.map(({ group }) => group).filter((group) => group !== 'versions'))
    expect(Object.values(jobs).flatMap(groupsOf).sort()).toEqual([...groups].sort())
    for (const job of Object.values(jobs)) expect(job.if).toBe("github.event_name != 'schedule'")
  })

  test('runs every group with longer nightly checks at night', () => {
    const longer = new Set(checks.filter(({ nightly }) => nightly).map(({ group }) => group))
    expect(groupsOf(nightlyJob as Job).sort()).toEqual([...longer].sort())
    expect(nightlyJob?.if).toBe("github.event_name == 'schedule'")
  })

  test.each(everyJob)('the job %s fails if a check fails, and runs nothing else', (name, job) => {
    const nightly = name === 'nightly' ? '--nightly ' : ''
    const commands = job.steps.flatMap(({ run }) => run ?? [])
    expect(commands).toHaveLength(1)
    const group = groupsOf(job).length > 1 ? ofMatrix : groupsOf(job)[0]
    expect(commands[0]).toBe(`bash .ci/run ${nightly}--group ${group}`)
    for (const part of [job, ...job.steps]) expect(part).not.toHaveProperty('continue-on-error')
    for (const step of job.steps) expect(step).not.toHaveProperty('if')
  })

  test.each(everyJob)('the job %s has a time limit, and pins every action to a commit', (name, job) => {
    // Longer than one check may take, so that the output of one that hangs is printed.
    expect(job['timeout-minutes']).toBe(name === 'nightly' ? 120 : 40)
    for (const { uses } of job.steps) if (uses) expect(uses).toMatch(/^[\w/-]+@[0-9a-f]{40}$/)
  })

  test('runs npm test on every version of Node that .ci/run tries, and on the lowest', () => {
    const tried = checks.filter(({ group }) => group === 'versions')
    const versions = tried.flatMap(({ run }) => /--package node@(\d+)/.exec(run)?.[1] ?? [])
    expect(jobs.node?.strategy?.matrix.node).toEqual([20, ...versions.map(Number)])
  })
})
