/** The upkeep as whoever else may do it wants to be told: lines of a crontab, units of systemd, manifests of Kubernetes. */
import { formatDuration } from "../src/config/durations.ts";
import { jobs } from "../src/core/jobs.ts";
import type { JobName } from "../src/core/upkeep.ts";

/** How and where the command is run. */
export type Setup = {
  /** As one would type it. */
  readonly program: string;
  readonly directory: string;
  readonly envFile: string | undefined;
  /** Where programs are looked for. */
  readonly searchPath: string;
};

const shellWord = (word: string): string =>
  /^[\w@+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

const wordsOf = (name: JobName, { envFile }: Pick<Setup, "envFile">): string[] => [
  "job",
  "run",
  name,
  "--lock",
  "skip",
  ...(envFile === undefined ? [] : ["--env-file", envFile]),
];

/** For `crontab`. What a line prints is mailed by cron, and so is nothing where all goes well. */
export function crontab(names: readonly JobName[], setup: Setup): string {
  const command = (name: JobName): string =>
    `cd ${shellWord(setup.directory)} && ${setup.program} ${wordsOf(name, setup).map(shellWord).join(" ")}`;
  const lines = names.flatMap((name) => [
    `# ${name}: ${jobs[name].does}`,
    // To cron a percent sign is the end of the line.
    `${jobs[name].cron} ${command(name).replaceAll("%", "\\%")}`,
  ]);
  return [
    "# The upkeep of authctl. With these lines a server may have JOBS=off; both together do no harm.",
    `PATH=${setup.searchPath}`,
    ...lines,
  ].join("\n");
}

export type UnitFile = { readonly file: string; readonly text: string };

/** Where a directory is hidden by a protection, that one is left out. */
const isIn = (place: string, ...directories: readonly string[]): boolean =>
  directories.some((directory) => place === directory || place.startsWith(`${directory}/`));

/** A percent sign begins a specifier, and a text with spaces wants quotes (systemd.syntax(7)). */
function unitWord(word: string): string {
  const escaped = word.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%").replaceAll("$", "$$$$");
  return /^[\w@+=:,./%$-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}

/**
 * For /etc/systemd/system: one service for all jobs, and a timer for each.
 * @param writable what the command writes to: where the data is
 */
export function systemdUnits(
  names: readonly JobName[],
  setup: Setup & { readonly user: string; readonly writable: readonly string[] },
): UnitFile[] {
  const { directory, user, program, searchPath, writable, envFile } = setup;
  const places = [directory, ...writable, ...(envFile === undefined ? [] : [envFile]), program];
  const isHidden = (...directories: string[]) => places.some((place) => isIn(place, ...directories));
  const command = ["/usr/bin/env", ...program.split(" "), ...wordsOf("purge", setup)].map(unitWord);
  const service = [
    "[Unit]",
    "Description=authctl job %i",
    "After=network-online.target",
    "Wants=network-online.target",
    "",
    "[Service]",
    "Type=oneshot",
    `User=${user}`,
    `WorkingDirectory=${directory.replaceAll("%", "%%")}`,
    `Environment=${unitWord(`PATH=${searchPath}`)}`,
    `ExecStart=${command.map((word) => (word === "purge" ? "%i" : word)).join(" ")}`,
    "# 6: the time was over with work left, which the next run goes on with",
    "SuccessExitStatus=6",
    "TimeoutStartSec=15min",
    "Nice=10",
    "IOSchedulingClass=idle",
    `ReadWritePaths=${[...new Set(writable)].map(unitWord).join(" ")}`,
    "ProtectSystem=strict",
    ...(isHidden("/home", "/root", "/run/user") ? [] : ["ProtectHome=yes"]),
    ...(isHidden("/tmp", "/var/tmp") ? [] : ["PrivateTmp=yes"]),
    "NoNewPrivileges=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "CapabilityBoundingSet=",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "UMask=0077",
  ];
  const timer = (name: JobName): string[] => [
    "[Unit]",
    `Description=authctl: ${jobs[name].does}`,
    "",
    "[Timer]",
    `OnCalendar=${jobs[name].calendar}`,
    `RandomizedDelaySec=${Math.min(600, jobs[name].every / 10_000)}`,
    "Persistent=yes",
    `Unit=authctl-job@${name}.service`,
    "",
    "[Install]",
    "WantedBy=timers.target",
  ];
  return [
    { file: "authctl-job@.service", text: `${service.join("\n")}\n` },
    ...names.map((name) => ({ file: `authctl-job-${name}.timer`, text: `${timer(name).join("\n")}\n` })),
  ];
}

/** For `kubectl apply`. Settings and secrets come from a Secret of the cluster: none of them stands here. */
export function cronJobs(
  names: readonly JobName[],
  {
    image,
    secret,
    namespace,
  }: { readonly image: string; readonly secret: string; readonly namespace: string | undefined },
): string {
  return names.map((name) => Bun.YAML.stringify(cronJob(name, { image, secret, namespace }), null, 2)).join("\n---\n");
}

function cronJob(
  name: JobName,
  { image, secret, namespace }: { image: string; secret: string; namespace: string | undefined },
): object {
  // Anew each time: of one object that stands twice YAML makes an alias.
  const labels = () => ({ "app.kubernetes.io/name": "authctl", "app.kubernetes.io/component": name });
  const container = {
    name: "authctl",
    image,
    command: ["authctl"],
    args: wordsOf(name, { envFile: undefined }),
    envFrom: [{ secretRef: { name: secret } }],
    env: [{ name: "DATA_DIR", value: "/tmp" }],
    resources: { requests: { cpu: "50m", memory: "128Mi" }, limits: { memory: "256Mi" } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
    volumeMounts: [{ name: "scratch", mountPath: "/tmp" }],
  };
  return {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: {
      name: `authctl-${name}`,
      ...(namespace !== undefined && { namespace }),
      labels: labels(),
      annotations: { description: `${jobs[name].does}, every ${formatDuration(jobs[name].every)}` },
    },
    spec: {
      schedule: jobs[name].cron,
      concurrencyPolicy: "Forbid",
      startingDeadlineSeconds: 300,
      successfulJobsHistoryLimit: 1,
      failedJobsHistoryLimit: 3,
      jobTemplate: {
        spec: {
          backoffLimit: 0,
          activeDeadlineSeconds: 900,
          template: {
            metadata: { labels: labels() },
            spec: {
              restartPolicy: "Never",
              automountServiceAccountToken: false,
              securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } },
              containers: [container],
              volumes: [{ name: "scratch", emptyDir: {} }],
            },
          },
        },
      },
    },
  };
}
