{{/*
The Deployment of one of the two processes, all that both have: `include "headroom.deployment" (dict "root" $ "component"
"scheduler" "args" LIST "config" TEXT "caConfigMap" NAME)`. Never `Recreate`: in `primary` nobody could schedule what comes.
*/}}
{{- define "headroom.deployment" -}}
{{- $root := .root -}}
{{- $component := .component -}}
{{- $values := index $root.Values $component -}}
{{- $process := fromYaml (include "headroom.process" (list $root $component)) -}}
{{- $selector := include "headroom.selectorLabels" (list $root $component) -}}
{{- $election := $values.leaderElection -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $process.name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "headroom.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $component }}
spec:
  replicas: {{ int $values.replicas }}
  revisionHistoryLimit: 3
  strategy:
    type: RollingUpdate
    rollingUpdate:
      {{- if $process.surge }}
      # The new process stands by before the old one goes.
      maxSurge: 1
      maxUnavailable: 0
      {{- else }}
      # There is no room for a new process beside the old one.
      maxSurge: 0
      maxUnavailable: 1
      {{- end }}
  selector:
    matchLabels:
      {{- $selector | nindent 6 }}
  template:
    metadata:
      labels:
        {{- $selector | nindent 8 }}
        app.kubernetes.io/part-of: headroom
        {{- with merge (dict) $values.podLabels $root.Values.commonLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if or .config $values.podAnnotations }}
      annotations:
        {{- with .config }}
        # A change of the file needs a restart.
        headroom.dev/config-sha256: {{ sha256sum . }}
        {{- end }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    spec:
      serviceAccountName: {{ $process.serviceAccount }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $process.priority }}
      priorityClassName: {{ $values.priorityClassName }}
      {{- end }}
      {{- if $process.hostNetwork }}
      hostNetwork: true
      dnsPolicy: ClusterFirstWithHostNet
      {{- end }}
      {{- with $values.nodeName }}
      # Its pods come back without any scheduler.
      nodeName: {{ . }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if or $process.apart $values.nodeAffinity }}
      affinity:
        {{- with $values.nodeAffinity }}
        nodeAffinity:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- if $process.apart }}
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- $selector | nindent 16 }}
        {{- end }}
      {{- end }}
      {{- if and $process.several (not $process.apart) }}
      topologySpreadConstraints:
      - topologyKey: kubernetes.io/hostname
        maxSkew: 1
        whenUnsatisfiable: ScheduleAnyway
        labelSelector:
          matchLabels:
            {{- $selector | nindent 12 }}
      {{- end }}
      {{- if $process.toleratesAll }}
      tolerations:
      - operator: Exists
      {{- else }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      securityContext:
        {{- include "headroom.podSecurityContext" $root | nindent 8 }}
      containers:
      - name: {{ $component }}
        image: {{ include "headroom.image" (list $root $component) }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        args:
        {{- range .args }}
        - {{ . | quote }}
        {{- end }}
        - --secure-port={{ $process.port }}
        - --leader-elect={{ $election.enabled }}
        {{- if $election.enabled }}
        - --leader-elect-lease-duration={{ $election.leaseDuration }}
        - --leader-elect-renew-deadline={{ $election.renewDeadline }}
        - --leader-elect-retry-period={{ $election.retryPeriod }}
        {{- end }}
        - --log-format={{ $root.Values.log.format }}
        - --v={{ int $root.Values.log.level }}
        {{- if $values.servingCertSecret }}
        - --tls-cert-file=/etc/headroom/tls/tls.crt
        - --tls-private-key-file=/etc/headroom/tls/tls.key
        {{- end }}
        {{- range $values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
        env:
        # Stands in the lease: on the node's network the host's name is the node's.
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- /* On the node's network none is declared: the kubelet would refuse the pod that takes the port over. */}}
        {{- if not $process.hostNetwork }}
        ports:
        - name: https
          containerPort: {{ $process.port }}
        {{- end }}
        # As generous as those of the stock components: on a node that thrashes a slow answer is no reason to restart.
        startupProbe:
          httpGet: {path: /livez, port: {{ $process.port }}, scheme: HTTPS}
          periodSeconds: 2
          timeoutSeconds: 15
          failureThreshold: 60
        livenessProbe:
          httpGet: {path: /livez, port: {{ $process.port }}, scheme: HTTPS}
          periodSeconds: 10
          timeoutSeconds: 15
          failureThreshold: 8
        # Ready is who knows the cluster, leader or not.
        readinessProbe:
          httpGet: {path: /readyz, port: {{ $process.port }}, scheme: HTTPS}
          periodSeconds: 5
          timeoutSeconds: 15
          failureThreshold: 3
        {{- with $values.resources }}
        resources:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        securityContext:
          {{- include "headroom.securityContext" $root | nindent 10 }}
        {{- $mounted := or .config .caConfigMap $values.servingCertSecret $values.extraVolumeMounts }}
        {{- if $mounted }}
        volumeMounts:
        {{- if .config }}
        - name: config
          mountPath: /etc/headroom/config
          readOnly: true
        {{- end }}
        {{- if .caConfigMap }}
        - name: kubelet-ca
          mountPath: /etc/headroom/kubelet-ca
          readOnly: true
        {{- end }}
        {{- if $values.servingCertSecret }}
        - name: serving-cert
          mountPath: /etc/headroom/tls
          readOnly: true
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- end }}
      {{- if or .config .caConfigMap $values.servingCertSecret $values.extraVolumes }}
      volumes:
      {{- if .config }}
      - name: config
        configMap:
          name: {{ $process.name }}
      {{- end }}
      {{- with .caConfigMap }}
      - name: kubelet-ca
        configMap:
          name: {{ . }}
      {{- end }}
      {{- with $values.servingCertSecret }}
      - name: serving-cert
        secret:
          secretName: {{ . }}
      {{- end }}
      {{- with $values.extraVolumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- end }}
{{- end -}}
