{{/* Names. */}}
{{- define "headroom.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "headroom.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "headroom.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The account whose tokens kubelets see. */}}
{{- define "headroom.kubeletReader" -}}
{{- include "headroom.fullname" . }}-kubelet-reader
{{- end -}}

{{/*
Leases are in kube-system, where the stock scheduler's is, whatever the release's namespace: two releases in two namespaces
must exclude each other as well.
*/}}
{{- define "headroom.leaseNamespace" -}}kube-system{{- end -}}

{{/* Labels that every object has. */}}
{{- define "headroom.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "headroom.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: headroom
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
What the templates need to know of one of the two processes, as YAML: `include "headroom.process" (list $ "scheduler")`.
Everything that follows from more than one value is decided here.
*/}}
{{- define "headroom.process" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $root.Values $component -}}
{{- $mode := $root.Values.mode -}}
{{- $exposed := eq $mode "primary" -}}
{{- $all := false -}}
{{- $loops := list -}}
{{- $lease := ternary "kube-scheduler" "headroom-scheduler" (eq $mode "primary") -}}
{{- $port := 10259 -}}
{{- $priority := ne $mode "shadow" -}}
{{- if eq $component "controllers" -}}
{{- $mode = default (ternary "primary" "shadow" (eq $mode "primary")) $values.mode -}}
{{- $loops = $values.loops -}}
{{- $exposed = or (has "node-lifecycle-controller" $loops) (has "taint-eviction-controller" $loops) -}}
{{- $all = $exposed -}}
{{- $lease = "headroom-controllers" -}}
{{- $port = 10257 -}}
{{- $priority = eq $mode "primary" -}}
{{- end -}}
{{- $hostNetwork := eq (toString $values.hostNetwork) "true" -}}
{{- if eq (toString $values.hostNetwork) "auto" -}}
{{- $hostNetwork = $exposed -}}
{{- end -}}
{{- $several := gt (int $values.replicas) 1 -}}
{{- /* Where another node, the pod network or another scheduler may be missing, no two share a node. Schedulers never do: a
takeover makes them the only ones, and changes no more than their mode. */}}
{{- $apart := and $several (or (eq $component "scheduler") $exposed $hostNetwork) }}
component: {{ $component }}
mode: {{ $mode }}
name: {{ include "headroom.fullname" $root }}-{{ $component }}
serviceAccount: {{ default (printf "%s-%s" (include "headroom.fullname" $root) $component) $values.serviceAccount.name | quote }}
lease: {{ $lease }}
{{- /* Stock components hold the usual ports of a node. */}}
port: {{ ternary (add $port 100) $port $hostNetwork }}
servicePort: {{ $port }}
hostNetwork: {{ $hostNetwork }}
apart: {{ $apart }}
several: {{ $several }}
toleratesAll: {{ or $all (ne $values.nodeName "") }}
priority: {{ and $priority (ne $values.priorityClassName "") }}
{{- /* A new process beside the old one needs a lease that keeps them apart, a port of its own and, when they live apart, a
node of its own. */}}
surge: {{ and $values.leaderElection.enabled (not $hostNetwork) (not $apart) }}
{{- end -}}

{{/* Labels by which the pods of a process are found; they never change. `list $ "scheduler"`. */}}
{{- define "headroom.selectorLabels" -}}
app.kubernetes.io/name: {{ include "headroom.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The image of a process. `list $ "scheduler"`. */}}
{{- define "headroom.image" -}}
{{- $root := index . 0 -}}
{{- $image := (index $root.Values (index . 1)).image -}}
{{- $registry := $root.Values.image.registry -}}
{{- $name := ternary (printf "%s/%s" $registry $image.repository) $image.repository (ne $registry "") -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default $root.Chart.AppVersion $root.Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The rules of one role in a file of files/rbac, which tests apply as they are. `list $ "scheduler.yaml" "headroom-scheduler"`. */}}
{{- define "headroom.rules" -}}
{{- $root := index . 0 -}}
{{- $file := index . 1 -}}
{{- $name := index . 2 -}}
{{- $rules := list -}}
{{- range splitList "\n---\n" ($root.Files.Get (printf "files/rbac/%s" $file)) -}}
{{- $object := fromYaml . -}}
{{- if and (has (get $object "kind") (list "ClusterRole" "Role")) (eq $object.metadata.name $name) -}}
{{- $rules = $object.rules -}}
{{- end -}}
{{- end -}}
{{- if not $rules -}}
{{- fail (printf "files/rbac/%s has no role %s" $file $name) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}

{{/* Pod Security "restricted", of pods. */}}
{{- define "headroom.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* And of containers. */}}
{{- define "headroom.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/*
The arguments of the memory model for the controllers: those of memoryHeadroomArgs, else of the first profile of
scheduler.config that has some, as headroom-controllers itself would look for them.
*/}}
{{- define "headroom.memoryArgs" -}}
{{- $args := .Values.memoryHeadroomArgs -}}
{{- if not $args -}}
{{- range .Values.scheduler.config.profiles -}}
{{- range .pluginConfig -}}
{{- if and (not $args) (eq .name "MemoryHeadroom") .args -}}
{{- $args = .args -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $args -}}
{{- $document := merge (dict "apiVersion" "kubescheduler.config.k8s.io/v1" "kind" "MemoryHeadroomArgs") (omit $args "apiVersion" "kind") -}}
{{- toYaml $document -}}
{{- end -}}
{{- end -}}

{{/* The scheduler's configuration file: scheduler.config, with memoryHeadroomArgs in every profile. Empty when neither is given. */}}
{{- define "headroom.schedulerConfig" -}}
{{- $args := .Values.memoryHeadroomArgs -}}
{{- if or .Values.scheduler.config $args -}}
{{- $config := deepCopy .Values.scheduler.config -}}
{{- $_ := set $config "apiVersion" "kubescheduler.config.k8s.io/v1" -}}
{{- $_ := set $config "kind" "KubeSchedulerConfiguration" -}}
{{- if $args -}}
{{- $profiles := list -}}
{{- $name := ternary "headroom-scheduler" "default-scheduler" (eq .Values.mode "secondary") -}}
{{- range (default (list (dict "schedulerName" $name)) $config.profiles) -}}
{{- $of := append (default list .pluginConfig) (dict "name" "MemoryHeadroom" "args" $args) -}}
{{- $profiles = append $profiles (merge (dict "pluginConfig" $of) .) -}}
{{- end -}}
{{- $_ := set $config "profiles" $profiles -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
{{- end -}}

{{/* The names of pods that the canary of `helm test` asks for. */}}
{{- define "headroom.schedulerName" -}}
{{- $first := first (default (list (dict)) .Values.scheduler.config.profiles) -}}
{{- $default := ternary "headroom-scheduler" "default-scheduler" (eq .Values.mode "secondary") -}}
{{- ternary "default-scheduler" (default $default $first.schedulerName) (eq .Values.mode "primary") -}}
{{- end -}}

{{/*
The arguments with which a process of this release is asked after by `check`, as a list in YAML: `list $ "scheduler"`. Rights
and lease follow from the same values as those of the process.
*/}}
{{- define "headroom.checkArgs" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $root.Values $component -}}
{{- $process := fromYaml (include "headroom.process" .) -}}
- check
{{- if eq $component "scheduler" }}
- --mode={{ $root.Values.mode }}
{{- else }}
- --controllers={{ join "," $values.loops }}
- --node-lifecycle-profile={{ $values.nodeLifecycleProfile }}
- --kubelet-token-service-account={{ $root.Release.Namespace }}/{{ include "headroom.kubeletReader" $root }}
{{- end }}
- --leader-elect={{ $values.leaderElection.enabled }}
- --holder={{ $process.name }}-
{{- end -}}

{{/*
The processes that are asked before an uninstall whether work was handed back, as a list in YAML. Each asks for what a takeover
has written down: where the scheduler does, the controllers need not, unless loops of kube-controller-manager stand in the
values.
*/}}
{{- define "headroom.guards" -}}
{{- $stock := without .Values.controllers.loops "node-headroom-controller" "memory-profile-controller" -}}
{{- if .Values.uninstall.guard -}}
{{- if .Values.scheduler.enabled }}
- scheduler
{{- end }}
{{- if and .Values.controllers.enabled (or $stock (not .Values.scheduler.enabled)) }}
- controllers
{{- end }}
{{- end -}}
{{- end -}}

{{/* The container of a pod that runs `check`, or another short command of a process' image. `list $ "scheduler" NAME ARGS`. */}}
{{- define "headroom.shortContainer" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 }}
image: {{ include "headroom.image" (list $root (index . 1)) }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args:
{{- range (index . 3) }}
- {{ . | quote }}
{{- end }}
resources:
  requests: {cpu: 1m, memory: 8Mi}
  limits: {memory: 32Mi}
securityContext:
  {{- include "headroom.securityContext" $root | nindent 2 }}
{{- end -}}
